"""Gradio's theme variables, each mapped to a token of `static/tokens.css`, so that colours stand in one place."""

from __future__ import annotations

from gradio.themes import Base, LocalFont

COLOURS = {
    "canvas": "body_background_fill background_fill_secondary",
    "surface": (
        "background_fill_primary panel_background_fill block_background_fill block_label_background_fill input_background_fill "
        "input_background_fill_focus input_background_fill_hover checkbox_background_color checkbox_background_color_focus "
        "checkbox_background_color_hover checkbox_label_background_fill checkbox_label_background_fill_selected "
        "button_secondary_background_fill button_cancel_background_fill table_even_background_fill table_odd_background_fill"
    ),
    "sunken": "code_background_fill checkbox_label_background_fill_hover button_secondary_background_fill_hover",
    "line": (
        "border_color_primary panel_border_color block_border_color block_label_border_color checkbox_label_border_color "
        "button_secondary_border_color button_cancel_border_color table_border_color"
    ),
    "edge": "input_border_color checkbox_border_color checkbox_label_border_color_hover button_secondary_border_color_hover",
    "ink": (
        "body_text_color block_title_text_color accordion_text_color checkbox_label_text_color_selected "
        "button_primary_background_fill button_primary_border_color button_secondary_text_color button_secondary_text_color_hover"
    ),
    "ink2": ("table_text_color checkbox_label_text_color button_primary_background_fill_hover button_primary_border_color_hover"),
    "ink3": "body_text_color_subdued block_label_text_color block_info_text_color input_border_color_hover input_placeholder_color",
    "on-ink": "button_primary_text_color button_primary_text_color_hover",
    "accent": (
        "border_color_accent border_color_accent_subdued link_text_color link_text_color_hover link_text_color_active "
        "link_text_color_visited input_border_color_focus checkbox_background_color_selected checkbox_border_color_focus "
        "checkbox_border_color_hover checkbox_border_color_selected loader_color slider_color stat_background_fill"
    ),
    "accent-soft": "color_accent_soft table_row_focus",
    "failed": (
        "button_cancel_text_color button_cancel_text_color_hover button_cancel_border_color_hover error_border_color "
        "error_text_color error_icon_color"
    ),
    "failed-soft": "error_background_fill button_cancel_background_fill_hover",
}
"""Token → the variables that take it, in light and dark alike."""

SHAPES = {
    "none": (
        "shadow_drop shadow_drop_lg block_shadow button_primary_shadow button_secondary_shadow button_cancel_shadow "
        "button_primary_shadow_hover button_secondary_shadow_hover button_cancel_shadow_hover button_primary_shadow_active "
        "button_secondary_shadow_active button_cancel_shadow_active input_shadow checkbox_shadow checkbox_label_shadow"
    ),
    "0 0 0 3px var(--cx-accent-soft)": "input_shadow_focus",
    "0px": "block_border_width block_padding form_gap_width block_title_padding block_title_border_width",
    "1px": "input_border_width panel_border_width",
    "16px": "layout_gap",
    "8px": "block_radius container_radius table_radius checkbox_label_gap",
    "6px": "input_radius button_large_radius button_medium_radius button_small_radius",
    "4px": "checkbox_border_radius",
    "7px 10px": "input_padding",
    "6px 12px": "checkbox_label_padding button_medium_padding",
    "7px 14px": "button_large_padding",
    "4px 10px": "button_small_padding",
    "15px": "section_header_text_size",
    "14px": "input_text_size block_title_text_size body_text_size button_large_text_size button_medium_text_size",
    "13px": "block_info_text_size block_label_text_size button_small_text_size",
    "400": "block_title_text_weight button_medium_text_weight button_small_text_weight",
    "700": "section_header_text_weight prose_header_text_weight button_large_text_weight",
    "transparent": "block_title_background_fill",
    "background-color .12s, border-color .12s": "button_transition",
}
"""Value → the variables that take it."""

WHOLE_WEIGHTS = (400, 700)
"""Gradio's other files of these fonts hold only a few letters."""


def theme() -> Base:
    """The app's look, as far as Gradio's variables reach."""
    wanted = {name: f"var(--cx-{token})" for token, names in COLOURS.items() for name in names.split()}
    wanted |= {name: value for value, names in SHAPES.items() for name in names.split()}
    base = Base(
        font=[LocalFont("IBM Plex Sans", weights=WHOLE_WEIGHTS), "system-ui", "sans-serif"],
        font_mono=[LocalFont("IBM Plex Mono", weights=WHOLE_WEIGHTS), "monospace"],
    )
    # An unset dark variable would take the base theme's own colour.
    dark = {f"{name}_dark": value for name, value in wanted.items() if hasattr(base, f"{name}_dark")}
    return base.set(**wanted, **dark)
