-- Events per day and role
select day, role, count(*) as events
from events
group by day, role
order by day desc, events desc
