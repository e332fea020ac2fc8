-- How fast the chats answer
select
    model,
    attributes->>'side' as side,
    count(*) as answers,
    round(median(latency_ms)) as median_ms,
    round(median(tokens_out * 1000 / latency_ms), 1) as tokens_per_s
from events
where kind = 'chat' and role = 'assistant' and latency_ms > 0
group by model, side
order by answers desc
