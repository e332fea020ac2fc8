-- What ended badly, or not at all
select time, id, kind, title, outcome, errors
from sessions
where kind <> 'annotation' and (outcome is null or outcome not in ('finished', 'stopped') or errors > 0)
order by time desc
limit 100
