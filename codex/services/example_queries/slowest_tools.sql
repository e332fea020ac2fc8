-- The slowest tools
select
    tool,
    count(*) as calls,
    round(median(latency_ms), 1) as median_ms,
    round(quantile_cont(latency_ms, 0.95), 1) as p95_ms,
    round(max(latency_ms), 1) as max_ms
from events
where role = 'tool' and tool is not null and latency_ms is not null
group by tool
order by p95_ms desc
limit 20
