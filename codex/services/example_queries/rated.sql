-- What was rated, and what was said of it
select annotations.time, annotations.rating, annotations.note, events.session, events.seq, events.role, events.content
from annotations
join events using (session, seq)
where annotations.rating is not null or annotations.note is not null
order by annotations.time desc
limit 100
