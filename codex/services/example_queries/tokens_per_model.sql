-- Tokens per model
select
    model,
    count(*) as answers,
    sum(tokens_in) as tokens_in,
    sum(tokens_out) as tokens_out,
    round(avg(tokens_out), 1) as tokens_an_answer
from events
where model is not null and (tokens_in is not null or tokens_out is not null)
group by model
order by coalesce(sum(tokens_in), 0) + coalesce(sum(tokens_out), 0) desc
