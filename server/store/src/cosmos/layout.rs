//! The layout of a container, and the protocol of its writes. Documentation only.
//!
//! One container holds one tenant or many. Its hierarchical partition key is `/tn` (tenant), `/ty` (type), `/rid` (the
//! resource's id); so a logical partition is one resource with its history, and a tenant or a type is a prefix that a query
//! can be bound to. Nothing is indexed but the paths that this page names.
//!
//! # Resources
//!
//! The current version is the document `c`; version n, once superseded, is `v<n>`, in the same logical partition.
//!
//! ```json
//! {"id": "c", "tn": "default", "ty": "Patient", "rid": "p1", "v": 2, "m": "PUT", "lu": 1795313433123,
//!  "o": "01a203b1d4e35fd31c00000200000", "b": "01a203b0aa1277102b00000100003", "l": 1,
//!  "x": ["=male"], "r": {"birthdate": {"l": 0, "h": 86399999}}, "z": "...", "e": "b"}
//! {"id": "v1", "tn": "default", "ty": "Patient", "rid": "p1", "v": 1, "m": "POST", "lu": 1795313356818,
//!  "o": "01a203b0aa1277102b00000100003", "b": "01a203b0aa1277102b00000100003",
//!  "to": "01a203b1d4e35fd31c000002", "te": 1795313433123, "l": 1, "x": ["=female"], "z": "...", "e": "b"}
//! ```
//!
//! | field | what | indexed |
//! |---|---|---|
//! | `v`, `m` | number; `POST`, `PUT`, `PATCH` or `DELETE` | `v` |
//! | `lu` | when it was committed, ms since 1970; also in the body's `meta.lastUpdated` | yes |
//! | `o` | the transaction that wrote it (24 hex digits) and the place in it (5) | yes |
//! | `b` | `o` of version 1: resources are listed in this order where no other is asked for | yes |
//! | `to`, `te` | the transaction that superseded it, and its `lu` | yes |
//! | `d` | 1 once all transactions it names are known to be committed | no |
//! | `g` | 1 if the version was erased: then it has no `z`, of index fields only the term `!erased`, and stays, for the log names it | no |
//! | `l` | 1 while a search may find it: not a deletion, and not superseded long ago | yes |
//! | `x`, `r` | index fields | yes |
//! | `z`, `e` | the body, and how it is written; a deletion has none | no |
//!
//! A transaction's id is 12 hex digits of the milliseconds when its staging began, 6 of the process, 6 of a counter.
//!
//! # Index fields
//!
//! They decide what a search reads, not what it finds: whatever is read is checked on the entries computed from its body, by
//! the same predicates as the embedded engine's. So they may be few and small, which is what a write costs.
//!
//! An Observation with `category` vital-signs, `code` 8480-6, `subject` Patient/p1, `status` final, a time and a value:
//!
//! ```json
//! {"x": ["=8480-6", "=final", "=vital-signs", "@Patient/p1"],
//!  "r": {"combo-value-quantity": {"l": 107.5}, "date": {"l": 1306799945000, "h": 1306799945999},
//!        "value-quantity": {"l": 107.5}}}
//! ```
//!
//! | in `x` | of |
//! |---|---|
//! | `=8480-6` | a token, by its code; its system is left to the check |
//! | `:urn:oid:1.2` | a uri |
//! | `@Patient/p1` | a reference |
//! | `^sm`, `^smi`, `^smith ` | a text, folded: its first 2, 3 and 6 characters |
//! | `@#` and 11 characters | any of these of more than 24 bytes: 64 bits of a hash |
//!
//! A term does not name its parameter: `subject` and `patient`, `code` and `combo-code` and the code of
//! `code-value-quantity` are one term. In `r` are the spans of dates (ms since 1970), numbers and quantities by
//! parameter: `l` and, where it is another, `h`; of several values their hull, and `m`, the largest of their lower ends.
//!
//! What this costs: a count, or an order by anything but birth and `_lastUpdated`, reads the bodies of all that its query
//! finds; `:not`, `:missing`, `:contains`, a system without a code and a text of one character narrow nothing, and read all
//! of the type that the other parameters leave. Without a filter the log knows the count.
//!
//! A tenant's own search parameters have no fields: a document written by a process that has not heard of one would lack
//! them. What they find is decided on the bodies that the rest of the query finds, and all of the type where it says nothing
//! else; so they answer as soon as a process knows them, and there is nothing to index. Each process reads the stored
//! SearchParameters again after 30 s.
//!
//! # Queries
//!
//! ```text
//! Observation?patient=p1&code=8480-6&date=ge2011
//! SELECT TOP 24 * FROM c WHERE c.l = 1 AND (ARRAY_CONTAINS(c.x, @p0) AND ARRAY_CONTAINS(c.x, @p1) AND
//!   (c.r['date'].l >= @p2 OR c.r['date'].h >= @p2)) ORDER BY c.b ASC
//! ```
//!
//! - Values are parameters; a name in a path comes from a definition, and has letters, digits, `-` and `_` only.
//! - A query is bound to the type's prefix of the key, to the tenant's where no type is asked for, and to one logical
//!   partition where one id is.
//! - It asks for the first documents in the order of `c.b`, or of `c.lu` for `_sort=_lastUpdated`, from the cursor's value on,
//!   and again from the last value on until the page is full: no page depends on a continuation of the service. Documents of
//!   one value are taken together, so that ties are in the order of births on every page.
//! - A chain is followed first: all its targets are found, however many, and the query names them, 64 at a time; of more, as
//!   many queries run in one order, and are merged.
//! - Under `NOT` only what is exact is asked: `_id`, type, `_lastUpdated`.
//!
//! # Why this partition key
//!
//! Compared on paper before it was built, by the charges that Microsoft publishes (see below) and these assumptions: a stored
//! resource has 1 KB, a patient 300 of them; 1 GB is 1 million resources in 1 physical partition, 1 TB is 1,000 million in
//! 20; a query costs 2.5 RU in each physical partition that it reaches, and 1 RU for each document that it reads. Reached
//! partitions are counted as if types and patients were spread evenly.
//!
//! | | (a) `/tenant,/type,/rid`, 1 GB | 1 TB | (b) `/tenant,/home,/rid`, 1 GB | 1 TB |
//! |---|---|---|---|---|
//! | read by id | 1 RU | 1 RU | 2 RU: a directory document first | 2 RU |
//! | 20 Observations of a patient | 22.5 RU | 22.5 to 70 RU: as many partitions as hold Observations | 22.5 RU | 22.5 RU |
//! | 20 Patients by name | 22.5 RU | 22.5 to 25 RU: few partitions hold Patients | 22.5 RU | 70 RU: all 20 |
//! | `$everything`, 300 resources | 302.5 RU | 350 RU | 302.5 RU | 302.5 RU |
//! | create | 1 document | the same | 2 documents: the directory's too | the same |
//! | transaction of 50 for one patient | 50 documents and 1 record | the same | 50, the directory's 50 and 1 record | the same |
//! | largest logical partition | a resource's history | the same | a patient's record: a dialysis patient of 30 years nears the limit of 20 GB no more than others, but takes all its load in one partition | the same |
//! | what is not a patient's | spread by id | the same | in buckets by type, hot where all refer to few |  |
//!
//! (a) was built. A read by id is the most frequent request and costs half; so do creates, which in (b) write the directory as
//! well; ids may be the client's; and a resource whose patient changes, or that has several (`Group`, `Provenance`), moves
//! nowhere. It pays for a patient's search where one type fills several partitions: 2.5 RU for each, on a query whose documents
//! cost more. A native batch would make a transaction of (b) atomic only up to 100 operations and 2 MB, so the log would be
//! needed all the same.
//!
//! # What it costs
//!
//! Microsoft publishes (<https://learn.microsoft.com/azure/cosmos-db/understand-request-unit-consumption>, 2026-04-21): a point
//! read of 1 KB takes 1.00 RU, of 2 KB 1.04, of 4 KB 1.14; a create takes 4.95 RU for 1 KB, 6.29 for 2 KB, 6.67 for 4 KB,
//! 7.04 for 8 KB, and 0.2 for each indexed term; a replace is a delete and a create; a delete costs what a create does.
//! The emulator charges 5.8 RU and 0.3 for each property of a create, both for the KB begun as a power of two, and 1.5 times
//! the first for a replace: for documents above 1 KB more than the service does.
//!
//! So priced, the US Core patients of Synthea cost this on average, the documents read back as they are stored (`search`'s
//! test `cost` computes the table). *Create* is the document (its size in the table above, a straight line between two
//! sizes, and 0.2 RU for each indexed term) and the record of the log, alone or shared by a commit of 25; *read* is one point
//! read. *Index* counts for each indexed term its value (8 bytes for a number) and 16 bytes for the path and the
//! posting: Microsoft publishes no formula for it, so this is an estimate.
//!
#![doc = include_str!("costs.md")]
//!
//! # Log
//!
//! Each tenant has a log under the type `$log`. A record's id is its slot, 16 hex digits; slots count from 1 without gaps, and
//! 4,096 of them (`rid`, in hex) are one logical partition. A record is created and never changed: whoever creates slot N
//! decides what comes at N.
//!
//! ```json
//! {"id": "0000000000002001", "tn": "default", "ty": "$log", "rid": "2", "kind": "commit",
//!  "t": "01a203b1d4e35fd31c000002", "lu": 1795313433123, "q": 9130, "e": 9131, "x": ["Observation", "Patient"],
//!  "w": [[["Patient/p1", 2, "U", 0], ["Observation/o7", 1, "C", 1]], [["Observation/o8", 4, "D", -1]]],
//!  "st": "0:-1#5121,1:-1#977"}
//! {"id": "0000000000002002", "tn": "default", "ty": "$log", "rid": "2", "kind": "kill",
//!  "t": "01a203b1e0a15fd31c000003", "lu": 1795313436001, "kills": ["01a203b1d7b09a410e000044"]}
//! ```
//!
//! | field | what |
//! |---|---|
//! | `kind` | `commit`; `kill`: `kills` will never be committed; `sealed`: nothing is committed from here on, until `unsealed` |
//! | `t` | the transaction that is committed; for the other kinds the record's own name, by which its writer knows it again |
//! | `q`, `e` | sequence numbers of the first and the last batch; only commits take some, so they have no gaps (indexed) |
//! | `x` | the types written: the index of their histories (indexed) |
//! | `w` | for each batch its writes: `Type/id`, version, `C` `U` `P` or `D`, and by how much the number of current resources changes |
//! | `st` | session tokens: how far the partitions must be seen by who reads what was written |
//!
//! # Meta
//!
//! `$meta`/`meta`/`meta` says the format, the tenant's secret, and where reading the log may begin: the sum of everything up
//! to `slot`, all transactions that began at `decided` or before being decided.
//!
//! ```json
//! {"id": "meta", "tn": "default", "ty": "$meta", "rid": "meta", "format": 1, "secret": "9f...", "decided": 1795312833000,
//!  "slot": 8100, "sequence": 9042, "updated": 1795312832871, "counts": {"Patient": {"current": 61, "changes": 64}},
//!  "at": 1795313433000}
//! ```
//!
//! # A commit
//!
//! 1. Preconditions are evaluated on a snapshot: the log up to slot S.
//! 2. Each write is staged: a create makes `c`, if there is none; any other, in one batch of its logical partition, makes
//!    `v<n>` of what `c` was (with `to`, `te`) and replaces `c`, if its etag is the one read. All of them carry a new
//!    transaction, of which the log knows nothing; so nobody sees them.
//! 3. The record is created at slot S+1. If it is taken, what stands there is read; where it touches what a precondition asked
//!    about, that is evaluated again; then S+2 is tried, and so on. The commit happens when the record is there, for all
//!    resources at once, however many.
//!
//! Batches that wait at the same time and do not touch each other share a transaction and a record. A batch that cannot be
//! committed leaves the group, and what it staged is taken back: `v<n>` becomes `c` again, in one batch.
//!
//! What can go wrong, and what is done:
//!
//! | what | then |
//! |---|---|
//! | `c` is another version (409, 412, or read so) | the batch conflicts |
//! | `c` is staged by a transaction that is not decided, and began earlier | the batch steps back: it is taken back, waits until that one is decided, and begins anew |
//! | the same, and it began later | wait for it: as the later one steps back, two never wait for each other |
//! | it stays undecided for 2 s | a kill record; whichever of kill and commit comes first in the log wins; then it is taken back |
//! | the answer to a staging was lost | the document is read: it carries our `o`, or it is tried again. Should the batch leave the group, all of the transaction is given up, for the lost write may still happen |
//! | the answer to the record was lost | the slot is read: it has our `t`, or another's, or is created again with the same content. Only if that cannot be found out for 10 s the answer is "unsettled" |
//! | a process dies before the record | its documents are taken back by whoever wants to write them, or by the sweep |
//! | a process dies after the record | it is committed; nothing is left to do |
//! | our own transaction was killed, or is older than 5 minutes | it is taken back and begun anew |
//!
//! # What a reader sees
//!
//! A transaction is committed at a snapshot if its record stands at or before the snapshot's slot, or if it began at or
//! before `decided`. A version counts if its own transaction is committed and `to` is not. A read takes `c` (one point read); if
//! `c` names a transaction that this process knows nothing of, the log's next slots are read; if it is still not there, `v<n-1>`
//! is the current version. So every process sees what any process committed before, and no part of anything else.
//!
//! # Sweep
//!
//! Every process, every minute, unless another just did. What began more than 10 minutes ago and is not committed is killed and
//! taken back; then `decided` is moved there. Nothing that old can still be committed, for no process appends a transaction
//! older than 5 minutes; the record of one whose documents were found is killed besides, which holds even for a process that was
//! suspended in between. What such a process *stages* after that would look committed: therefore a document that the
//! service wrote (`_ts`) more than 8 minutes after its transaction began, and that has no `d`, is not committed whatever
//! `decided` says.
//!
//! Index fields are taken off superseded versions after 2 minutes (`l` is gone, `d` is set). Searches end within half of that.
//!
//! # Clocks
//!
//! `lu` never goes back within a process, nor from one version of a resource to the next. Between processes it may, by as
//! long as the later commit took to stage, which is at most 5 minutes. When a tenant is opened, and when the sweep writes the meta document, the process's clock is compared with the
//! service's; a process whose clock is more than 60 s off writes nothing.
//!
//! # Bodies
//!
//! `z` is the body, and `e` says how to get it from there; `codec` has the table. Without `e`, `z` is the body itself: so small
//! resources are. Else it is the body compressed with zstd and a dictionary of FHIR's vocabulary, as text in which 13 bits take
//! two characters (1.23 characters a byte; base64 takes 1.33):
//!
//! ```json
//! {"id": "c", "ty": "Observation", "v": 1, "z": "k%<tZ[1m...", "e": "b"}
//! {"id": "c", "ty": "Observation", "v": 1, "z": "8Wd0(q;x...", "e": "b.1f2e3d4c"}
//! {"id": "c", "ty": "DocumentReference", "v": 1, "z": "9f86d081...0f00a08.31457311", "e": "a.1f2e3d4c@"}
//! ```
//!
//! The second is encrypted with the tenant's data key `1f2e3d4c`, the third besides is in a blob: `z` is the SHA-256 of
//! its content and its length. A dictionary has a letter and is never changed.
//!
//! **Encryption** (for tenants with keys) is AES-256-GCM with a random nonce, 28 bytes a body. The associated data is
//! `tenant/Type/id/version/letter`: bytes that are moved to another document, version, tenant or label do not decrypt. Data keys
//! are kept wrapped by a `KeyProvider`; new bodies take the newest, old ones stay readable as long as their key is kept. One key
//! encrypts at most 2^32 bodies: rotate before. **Only bodies are encrypted**: the index fields `x` and `r`, ids,
//! times and counts are plain text, because the service searches and sorts by them; codes, dates, names and identifiers that
//! are search parameters are therefore readable to whoever reads the account. Where that must not be, use the account's own
//! encryption with a customer-managed key besides.
//!
//! **Blobs** take bodies of more than 1.9 million characters as text. A blob's name is `tenant/Type/id/VERSION-SHA256`. It is
//! written before its document is staged, and read only through it. A commit that fails, or a process that dies, may leave a
//! blob that no document names: garbage, and never read. It can be deleted when it is older than a day and the documents `c`
//! and `v<VERSION>` of its resource do not name it. No such blob is deleted by the server.
