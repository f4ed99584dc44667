-- Merging a chunk whose orders may exist already, set by set. The fast path needs none of this: it COPYs.

-- name: stage_create
-- Staging tables of one transaction: headers (one a touched order) and lines of the chunk.
CREATE TEMPORARY TABLE merge_order (
    id varchar(128) COLLATE "C" PRIMARY KEY, user_id varchar(128) COLLATE "C", status varchar(16),
    ordered_at timestamptz, country varchar(64), currency varchar(3), first_record bigint, attributes jsonb,
    class text, taken_from bigint, taken_chunk int, version int,
    foreign_order boolean NOT NULL DEFAULT false
) ON COMMIT DROP;
CREATE TEMPORARY TABLE merge_line (
    order_id varchar(128) COLLATE "C", line_no bigint, item_id varchar(128) COLLATE "C", quantity int,
    unit_price numeric(18, 4), record bigint, class text, PRIMARY KEY (order_id, line_no)
) ON COMMIT DROP;

-- name: orders_lock
-- Lock the existing orders of the chunk in key order (the same order everywhere: no deadlock).
SELECT count(*) FROM (
    SELECT o.id FROM orders_order o JOIN merge_order m ON m.id = o.id ORDER BY o.id FOR UPDATE OF o
) locked;

-- name: orders_classify
-- new: not there; spanning: an earlier or later chunk of this import has it (made, changed or compared it);
-- otherwise what the policy says about orders of others.
UPDATE merge_order m
SET class = CASE
        WHEN o.import_id = %(import_id)s OR seen.order_id IS NOT NULL THEN 'spanning'
        WHEN %(policy)s <> 'update' THEN %(policy)s
        WHEN m.user_id IS DISTINCT FROM o.user_id THEN 'other_user'
        WHEN m.status IS NOT NULL AND m.status <> o.status
             AND NOT (%(reachable)s::jsonb -> o.status ? m.status) THEN 'bad_transition'
        ELSE 'update' END,
    taken_from = CASE WHEN o.import_id IS DISTINCT FROM %(import_id)s THEN o.import_id END,
    taken_chunk = CASE WHEN o.import_id = %(import_id)s THEN o.import_chunk END,
    version = o.version,
    foreign_order = o.import_id IS DISTINCT FROM %(import_id)s
FROM orders_order o
LEFT JOIN ingestion_orderseen seen ON seen.import_id = %(import_id)s AND seen.order_id = o.id
WHERE o.id = m.id;

-- name: orders_classify_new
UPDATE merge_order SET class = 'new' WHERE class IS NULL;

-- name: lines_classify
-- Against the lines that are there: new, same, changed; or, within this import (a mapped line number told twice),
-- loser (an earlier record has it) or winner (a later record has it and must yield). A line that keeps no record
-- number has that of its line number.
UPDATE merge_line l
SET class = CASE
    WHEN x.line_no IS NULL THEN 'new'
    WHEN x.import_id = %(import_id)s
         AND coalesce(x.record, x.line_no - %(line_base)s) < coalesce(l.record, l.line_no - %(line_base)s) THEN 'loser'
    WHEN x.import_id = %(import_id)s
         AND coalesce(x.record, x.line_no - %(line_base)s) > coalesce(l.record, l.line_no - %(line_base)s) THEN 'winner'
    WHEN x.item_id = l.item_id AND x.quantity = l.quantity
         AND (l.unit_price IS NULL OR l.unit_price IS NOT DISTINCT FROM x.unit_price) THEN 'same'
    ELSE 'changed' END
FROM merge_order m, merge_line me
LEFT JOIN orders_orderline x ON x.order_id = me.order_id AND x.line_no = me.line_no
WHERE m.id = l.order_id AND m.class IN ('spanning', 'update')
  AND me.order_id = l.order_id AND me.line_no = l.line_no;

-- name: orders_unchanged
-- An existing order of another import whose header and present lines say what is there already.
UPDATE merge_order m
SET class = 'unchanged'
FROM orders_order o
WHERE o.id = m.id AND m.class = 'update'
  AND (m.status IS NULL OR m.status = o.status)
  AND (m.ordered_at IS NULL OR m.ordered_at IS NOT DISTINCT FROM o.ordered_at)
  AND (coalesce(m.country, '') = '' OR m.country = o.country)
  AND (coalesce(m.currency, '') = '' OR m.currency = o.currency)
  AND (m.attributes IS NULL OR m.attributes IS NOT DISTINCT FROM o.attributes)
  AND NOT EXISTS (SELECT FROM merge_line l WHERE l.order_id = m.id AND l.class IN ('new', 'changed'))
  AND NOT (%(replace_lines)s AND EXISTS (
    SELECT FROM orders_orderline x
    WHERE x.order_id = m.id
      AND NOT EXISTS (SELECT FROM merge_line l WHERE l.order_id = x.order_id AND l.line_no = x.line_no)));

-- name: spanning_unchanged
-- More records of an order that this import left as it was, and still nothing new: it stays so.
UPDATE merge_order m
SET class = 'unchanged'
FROM orders_order o
WHERE o.id = m.id AND m.class = 'spanning' AND o.import_id IS DISTINCT FROM %(import_id)s
  AND NOT EXISTS (SELECT FROM merge_line l WHERE l.order_id = m.id AND l.class IN ('new', 'changed'));

-- name: orders_seen_add
INSERT INTO ingestion_orderseen (import_id, order_id)
SELECT %(import_id)s, id FROM merge_order WHERE class = 'unchanged'
ON CONFLICT DO NOTHING;

-- name: orders_insert
INSERT INTO orders_order (id, user_id, status, ordered_at, country, currency, version, import_version, import_id,
                          import_chunk, import_record, attributes, created_at, updated_at)
SELECT id, user_id, coalesce(status, 'placed'), ordered_at, coalesce(country, ''), coalesce(currency, ''), 1, 1,
       %(import_id)s, %(chunk)s, first_record, attributes, %(now)s, %(now)s
FROM merge_order WHERE class = 'new' ORDER BY id
ON CONFLICT (id) DO NOTHING;

-- name: orders_new
SELECT count(*) FROM merge_order WHERE class = 'new';

-- name: orders_disagreeing
-- Headers of an order told differently by two chunks; the lower first record wins.
SELECT m.id,
       jsonb_build_object('user_id', coalesce(o.user_id, ''), 'status', o.status,
                          'ordered_at', coalesce(o.ordered_at::text, ''), 'country', o.country,
                          'currency', o.currency) AS theirs,
       jsonb_build_object('user_id', coalesce(m.user_id, ''), 'status', coalesce(m.status, 'placed'),
                          'ordered_at', coalesce(m.ordered_at::text, ''), 'country', coalesce(m.country, ''),
                          'currency', coalesce(m.currency, '')) AS ours,
       o.import_record, m.first_record
FROM merge_order m JOIN orders_order o ON o.id = m.id
WHERE m.class = 'spanning' AND o.import_id = %(import_id)s
  AND (o.user_id IS DISTINCT FROM m.user_id OR o.status <> coalesce(m.status, 'placed')
       OR o.ordered_at IS DISTINCT FROM m.ordered_at OR o.country <> coalesce(m.country, '')
       OR o.currency <> coalesce(m.currency, ''))
ORDER BY m.id;

-- name: orders_update
-- Existing orders of other imports: values present in the file replace, blanks keep.
UPDATE orders_order o
SET status = coalesce(m.status, o.status), ordered_at = coalesce(m.ordered_at, o.ordered_at),
    country = coalesce(nullif(m.country, ''), o.country), currency = coalesce(nullif(m.currency, ''), o.currency),
    attributes = coalesce(m.attributes, o.attributes), version = o.version + 1, import_version = o.version + 1,
    import_id = %(import_id)s, import_chunk = %(chunk)s, import_record = m.first_record, updated_at = %(now)s
FROM merge_order m
WHERE o.id = m.id AND m.class = 'update';

-- name: orders_span_touch
-- Orders that another chunk of this import has: one more version; the lower first record wins the header. If that gives an
-- order another user, its events stay in the partition where they are.
UPDATE orders_order o
SET user_id = CASE WHEN lower_wins THEN m.user_id ELSE o.user_id END,
    partition_key = CASE WHEN lower_wins AND m.user_id IS DISTINCT FROM o.user_id
                         THEN coalesce(o.partition_key, o.user_id, o.id) ELSE o.partition_key END,
    status = CASE WHEN lower_wins THEN coalesce(m.status, 'placed') ELSE o.status END,
    ordered_at = CASE WHEN lower_wins THEN m.ordered_at ELSE o.ordered_at END,
    country = CASE WHEN lower_wins THEN coalesce(m.country, '') ELSE o.country END,
    currency = CASE WHEN lower_wins THEN coalesce(m.currency, '') ELSE o.currency END,
    attributes = CASE WHEN lower_wins THEN m.attributes ELSE o.attributes END,
    import_record = least(m.first_record, CASE WHEN o.import_id = %(import_id)s THEN o.import_record END),
    import_chunk = CASE WHEN lower_wins OR o.import_id IS DISTINCT FROM %(import_id)s
                        THEN %(chunk)s ELSE o.import_chunk END,
    import_id = %(import_id)s,
    version = o.version + 1, import_version = o.version + 1, updated_at = %(now)s
FROM (
    SELECT m.*, coalesce(x.import_id = %(import_id)s AND x.import_record > m.first_record, false) AS lower_wins
    FROM merge_order m JOIN orders_order x ON x.id = m.id WHERE m.class = 'spanning'
) m
WHERE o.id = m.id;

-- name: lines_displaced
-- Lines of other imports that this chunk is about to take over, by the import that wrote them.
SELECT x.import_id, count(*)
FROM merge_line l
JOIN merge_order m ON m.id = l.order_id
JOIN orders_orderline x ON x.order_id = l.order_id AND x.line_no = l.line_no
WHERE m.class IN ('update', 'spanning') AND l.class = 'changed' AND x.import_id IS DISTINCT FROM %(import_id)s
GROUP BY x.import_id;

-- name: orders_displaced
SELECT taken_from, count(*) FROM merge_order
WHERE class IN ('update', 'spanning') AND taken_from IS NOT NULL GROUP BY taken_from;

-- name: lines_demoted
-- Records of later chunks that lose their line to this chunk.
SELECT coalesce(x.record, x.line_no - %(line_base)s) FROM merge_line l
JOIN orders_orderline x ON x.order_id = l.order_id AND x.line_no = l.line_no
WHERE l.class = 'winner' ORDER BY 1;

-- name: lines_absent_delete
-- replace_lines: what the file does not name goes.
DELETE FROM orders_orderline x USING merge_order m
WHERE x.order_id = m.id AND m.class = 'update' AND x.import_id IS DISTINCT FROM %(import_id)s
  AND NOT EXISTS (SELECT FROM merge_line l WHERE l.order_id = x.order_id AND l.line_no = x.line_no)
RETURNING x.import_id;

-- name: lines_write
INSERT INTO orders_orderline AS x (order_id, line_no, item_id, quantity, unit_price, import_id, record)
SELECT l.order_id, l.line_no, l.item_id, l.quantity, l.unit_price, %(import_id)s, l.record
FROM merge_line l JOIN merge_order m ON m.id = l.order_id
WHERE m.class = 'new' OR (m.class IN ('update', 'spanning') AND l.class IN ('new', 'changed', 'winner'))
ORDER BY l.order_id, l.line_no
ON CONFLICT (order_id, line_no) DO UPDATE
SET item_id = excluded.item_id, quantity = excluded.quantity,
    unit_price = CASE WHEN x.import_id = excluded.import_id THEN excluded.unit_price
                      ELSE coalesce(excluded.unit_price, x.unit_price) END,
    import_id = excluded.import_id, record = excluded.record;

-- name: classes
SELECT id, class, coalesce(version, 0) + 1 AS version FROM merge_order;

-- name: orders_taken_from_chunks
-- Chunks of this import that will lose the header of an order to this one, or whose order gets another version.
SELECT DISTINCT taken_chunk FROM merge_order WHERE class = 'spanning' AND taken_chunk IS NOT NULL;

-- name: orders_taken
-- Orders of others that this import left unchanged in an earlier chunk and now does change.
SELECT count(*) FROM merge_order WHERE class = 'spanning' AND foreign_order;

-- name: losers
SELECT coalesce(record, line_no - %(line_base)s) FROM merge_line WHERE class = 'loser' ORDER BY 1;

-- name: line_counts
SELECT count(*) FILTER (WHERE m.class = 'new' OR l.class = 'new'),
       count(*) FILTER (WHERE m.class IN ('update', 'spanning') AND l.class IN ('changed', 'winner')),
       count(*) FILTER (WHERE m.class IN ('update', 'spanning') AND l.class = 'winner')
FROM merge_line l JOIN merge_order m ON m.id = l.order_id
WHERE m.class IN ('new', 'update', 'spanning');

-- name: chunk_done
-- Compare-and-set on the fencing token.
UPDATE ingestion_chunk
SET state = 'done', merged_at = clock_timestamp(), lease_until = NULL, outcomes = %(outcomes)s, errors = %(errors)s,
    ignored = %(ignored)s, facts = %(facts)s, displaced = %(displaced)s, digests = %(digests)s, last_error = ''
WHERE id = %(id)s AND token = %(token)s AND state = 'claimed';

-- name: chunk_stopped
-- The chunk at which an error limit tripped: its rejects are kept, the rest was not processed.
UPDATE ingestion_chunk
SET state = 'stopped', resolved_at = %(now)s, merged_at = clock_timestamp(), lease_until = NULL,
    outcomes = %(outcomes)s, errors = %(errors)s, ignored = %(ignored)s, facts = '{}'
WHERE id = %(id)s AND token = %(token)s AND state = 'claimed';

-- name: chunk_of_record
SELECT id, number, source, "offset", length, first_record, records, first_line, lines, quoting
FROM ingestion_chunk
WHERE import_id = %(import_id)s AND first_record <= %(record)s ORDER BY first_record DESC LIMIT 1;

-- name: chunk_demote
-- A record of a later chunk lost its line to this one: correct that chunk's counts.
UPDATE ingestion_chunk
SET outcomes = outcomes
      || jsonb_build_object('loaded', (outcomes->>'loaded')::bigint - 1)
      || jsonb_build_object(%(outcome)s::text, coalesce((outcomes->>%(outcome)s::text)::bigint, 0) + 1),
    errors = CASE WHEN %(outcome)s = 'rejected'
      THEN errors || jsonb_build_object('duplicate_line', coalesce((errors->>'duplicate_line')::bigint, 0) + 1)
      ELSE errors END,
    facts = facts || jsonb_build_object('lines_inserted', coalesce((facts->>'lines_inserted')::bigint, 0) - 1)
WHERE id = %(id)s;

-- name: digests_clear
-- Chunks whose orders or lines another chunk took over: their digests are made anew when the import ends.
UPDATE ingestion_chunk SET digests = digests - %(kind)s::text
WHERE import_id = %(import_id)s AND number = ANY(%(numbers)s);
