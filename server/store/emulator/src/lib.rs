//! For tests only: a Cosmos DB account in memory, in this process or behind a loopback HTTP host.
