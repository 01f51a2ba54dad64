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
//!  "x": ["gender=male"], "r": {}, "s": {}, "k": {}, "z": "...", "e": "b"}
//! {"id": "v1", "tn": "default", "ty": "Patient", "rid": "p1", "v": 1, "m": "POST", "lu": 1795313356818,
//!  "o": "01a203b0aa1277102b00000100003", "b": "01a203b0aa1277102b00000100003",
//!  "to": "01a203b1d4e35fd31c000002", "te": 1795313433123, "l": 1, "x": ["gender=female"], "z": "...", "e": "b"}
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
//! | `l` | 1 while a search may find it: not a deletion, and not superseded long ago | yes |
//! | `x`, `r`, `s`, `k` | index fields | yes |
//! | `z`, `e` | the body, and how it is written; a deletion has none | no |
//!
//! A transaction's id is 12 hex digits of the milliseconds when its staging began, 6 of the process, 6 of a counter.
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
