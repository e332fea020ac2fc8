-- The loss of all runs, over each other
-- A step that was replayed after a resume counts once: as it came out last.
select run_id, step, arg_max(loss, seq) as loss
from events
where kind = 'training' and step is not null and loss is not null and attributes->>'split' = 'train'
group by run_id, step
order by run_id, step
