"""How a verdict is said."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from codex.evaluation.verdict import Figure, MetricRow, Verdict

MINUS = "\u2212"
DECIMALS = 2
MOST_DECIMALS = 6


def plain(value: float, decimals: int) -> str:
    """`value` with a true minus sign, and 0 without one."""
    text = f"{abs(value):.{decimals}f}"
    return MINUS + text if value < 0 and float(text) != 0 else text


def signed(value: float, decimals: int) -> str:
    """`plain`, with a plus sign on what is above 0."""
    text = plain(value, decimals)
    return "+" + text if value > 0 and float(text) != 0 else text


def interval(figure: Figure, decimals: int) -> str:
    """`[low, high]`, or nothing where there is none."""
    if figure.low is None or figure.high is None:
        return ""
    return f"[{signed(figure.low, decimals)}, {signed(figure.high, decimals)}]"


def decimals_of(figure: Figure) -> int:
    """Two; more only where two would show an end of an interval as 0 that is not."""
    ends = [end for end in (figure.low, figure.high) if end is not None] if figure.sign else []
    return next((count for count in range(DECIMALS, MOST_DECIMALS) if all(round(end, count) != 0 for end in ends)), MOST_DECIMALS)


def sentence(verdict: Verdict, primary: MetricRow) -> str:
    """The verdict in one sentence.

    For example: "Better: answer loss 5.89 → 4.58, −1.31 [−1.41, −1.21], 200 held-out functions; 0.40 of it is style".
    """
    change, decimals = primary.difference, decimals_of(primary.difference)
    span = interval(change, decimals)
    levels = f"{plain(primary.base, decimals)} → {plain(primary.adapter, decimals)}"
    by = f"{signed(change.value, decimals)} {span}".rstrip()
    groups = f" of {verdict.groups} {verdict.group_noun}" if verdict.group_noun and verdict.groups < verdict.items else ""
    head = f"{verdict.word}: {primary.title.lower()} {levels}, {by}, {verdict.items} {verdict.noun}{groups}"
    if change.reason:
        return f"{head}; no interval, because {change.reason}"
    return f"{head}; {_style(verdict, decimals)}" if verdict.word == "Better" else head


def _style(verdict: Verdict, decimals: int) -> str:
    """How much of an improvement is style: parts of it have the sign of the whole."""
    style, task, primary = verdict.style, verdict.task, verdict.primary
    if style is None or task is None or primary is None:
        return "how much of it is style is unknown"
    way = primary.difference.sign
    if task.sign == 0:
        return "all of it may be style"
    if task.sign != way:
        return "all of it is style"
    share = way * style.value
    return f"{plain(share, decimals)} of it is style" if round(share, decimals) > 0 else "none of it is style"


def markdown(verdict: Verdict) -> str:
    """The verdict as a short report: the sentence, the figures, how they were made."""
    lines = [f"**{verdict.sentence}**", ""]
    if verdict.metrics:
        lines += _table(verdict)
    if verdict.style is not None and verdict.task is not None and verdict.primary is not None:
        lines += _parts(verdict.primary, verdict.style, verdict.task)
    elif verdict.style_problem:
        lines += [f"How much of the difference is style is unknown: {verdict.style_problem}.", ""]
    groups = verdict.group_noun or "groups"
    lines.append(
        f"{verdict.items} {verdict.noun} of {verdict.groups} {groups}. Intervals are {verdict.confidence:.0%}, from {verdict.resamples:,} "
        f"resamples of groups with seed {verdict.seed}, base and adapter on the same items."
    )
    return "\n".join(lines) + "\n"


def _table(verdict: Verdict) -> list[str]:
    lines = ["| metric | base | adapter | difference | interval | wins | losses | ties | |", "|---|---|---|---|---|---|---|---|---|"]
    for row in verdict.metrics:
        decimals = max(decimals_of(row.difference), row.decimals)
        title = f"{row.title} ({row.unit})" if row.unit else row.title
        span = interval(row.difference, decimals) or f"none: {row.difference.reason}"
        lines.append(
            f"| {title} | {plain(row.base, decimals)} | {plain(row.adapter, decimals)} | {signed(row.difference.value, decimals)} | {span} "
            f"| {row.wins} | {row.losses} | {row.ties} | {row.word} |"
        )
    return [*lines, ""]


def _parts(primary: MetricRow, style: Figure, task: Figure) -> list[str]:
    decimals = decimals_of(primary.difference)
    lines = [f"| part of the difference in {primary.title.lower()} | value | interval |", "|---|---|---|"]
    for title, part in (("style: also on answers of other prompts", style), ("task: the rest", task)):
        lines.append(f"| {title} | {signed(part.value, decimals)} | {interval(part, decimals) or f'none: {part.reason}'} |")
    return [*lines, ""]
