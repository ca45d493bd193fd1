-- lock --
-- Wait for whoever writes the same blob.
select pg_advisory_xact_lock(hashtextextended($1, 11))

-- clear --
-- Remove a blob, for another to take its place.
delete from blob where key = $1

-- put --
-- Write one piece of a blob.
insert into blob (key, number, owner, data) values ($1, $2, $3, $4)

-- get --
-- The pieces of a blob, in order.
select data from blob where key = $1 order by number

-- delete --
-- Remove all blobs with keys from one on and before another, and count them.
with gone as (delete from blob where key >= $1 and key < $2 returning number)
select count(*) filter (where number = 0) from gone
