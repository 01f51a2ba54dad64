//! The records of jobs in a container, and who works on them: whoever has the lease of a record
//! (<https://learn.microsoft.com/rest/api/storageservices/lease-blob>), which runs out when its server is gone.

use std::io::{Error, ErrorKind, Result};
use std::time::{Duration, SystemTime};

use azure_core::http::StatusCode;
use azure_storage_blob::models::{
    BlobClientAcquireLeaseOptions, BlobClientAcquireLeaseResultHeaders as _, BlobClientBreakLeaseOptions,
    BlobClientUploadOptions,
};
use bulk::{Claim, Job, Jobs, unreachable};
use bytes::Bytes;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{OfTenant, RECORD, fault, is_leased};

const PATIENTS: &str = "patients.json";
/// Seconds after which a server that does not claim its job again has lost it: between 15 and 60.
const LEASE_S: i32 = 20;
/// For how long blobs without a record are left alone: the kick-off of a job may be under way.
const STRAY: Duration = Duration::from_secs(3600);
/// How often it is tried to remove a record that others claim.
const REMOVALS: u32 = 10;

impl OfTenant {
    fn put(&self, name: &str, value: &impl Serialize) -> Result<()> {
        let bytes = Bytes::from(serde_json::to_vec(value).map_err(Error::other)?);
        let claimed = self.container.claimed().get(name).cloned();
        let options = match &claimed {
            None => BlobClientUploadOptions::default(),
            // What another changed or removed since is left as it is.
            Some(Some(etag)) => BlobClientUploadOptions {
                lease_id: Some(self.container.node.id().to_owned()),
                if_match: Some(etag.clone()),
                ..Default::default()
            },
            Some(None) => return Err(unreachable("this job was lost to another server, or removed")),
        };
        let blob = self.container.blob(name);
        let etag = self.container.wait(async { Ok(blob.upload(bytes.into(), Some(options)).await?.etag) })?;
        if claimed.is_some() {
            self.container.claimed().insert(name.to_owned(), etag);
        }
        Ok(())
    }

    fn get<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let blob = self.container.blob(name);
        let read = self.container.wait(async { blob.download(None).await?.body.collect().await });
        match read {
            Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(Error::other),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Breaks the lease of a record and removes it. Whether it is gone: it may be claimed again in between.
    fn remove_record(&self, record: &str) -> Result<bool> {
        let blob = self.container.blob(record);
        let options = BlobClientBreakLeaseOptions { break_period: Some(0), ..Default::default() };
        let removed = self.container.wait(async {
            match blob.break_lease(Some(options)).await {
                Err(error) if error.http_status() != Some(StatusCode::Conflict) => return Err(error),
                _ => {}
            }
            match blob.delete(None).await {
                Err(error) if is_leased(&error) => Ok(false),
                other => other.map(|_| true),
            }
        });
        match removed {
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(true),
            other => other,
        }
    }

    /// Removes what is of no job: the rest of one that was being made or removed when a server ended.
    ///
    /// # Errors
    /// The container cannot be reached.
    pub fn remove_strays(&self) -> Result<()> {
        let listed = self.container.list(&format!("{}/", self.tenant.as_str()))?;
        let is_old = |newest: &SystemTime| newest.elapsed().is_ok_and(|age| age > STRAY);
        for ((_, job), blobs) in listed {
            let record = self.name(&job, RECORD)?;
            if !blobs.names.contains(&record) && blobs.newest.as_ref().is_none_or(is_old) {
                blobs.names.iter().try_for_each(|name| self.container.delete(name))?;
            }
        }
        Ok(())
    }
}

impl Jobs for OfTenant {
    fn are_shared(&self) -> bool {
        true
    }

    fn claim(&self, job: &str) -> Result<Claim> {
        let name = self.name(job, RECORD)?;
        let proposed_lease_id = Some(self.container.node.id().to_owned());
        let options = BlobClientAcquireLeaseOptions { proposed_lease_id, ..Default::default() };
        let blob = self.container.blob(&name);
        let answer = self.container.wait(async {
            match blob.acquire_lease(LEASE_S, Some(options)).await {
                Ok(acquired) => Ok(Ok(acquired.etag()?)),
                Err(error) if error.http_status() == Some(StatusCode::Conflict) => Ok(Err(Claim::Others)),
                Err(error) if fault(&error).kind() == ErrorKind::NotFound => Ok(Err(Claim::Gone)),
                Err(error) => Err(error),
            }
        })?;
        let mut claimed = self.container.claimed();
        match answer {
            Ok(etag) => {
                // One that is claimed again is known by what was saved last, which may be newer than this answer.
                let known = claimed.entry(name).or_default();
                *known = known.take().or(etag);
                Ok(Claim::Ours)
            }
            Err(claim) => {
                claimed.entry(name).and_modify(|known| *known = None);
                Ok(claim)
            }
        }
    }

    fn release(&self, job: &str) {
        let Ok(name) = self.name(job, RECORD) else { return };
        if self.container.claimed().remove(&name).is_some() {
            let (blob, node) = (self.container.blob(&name), self.container.node.id().to_owned());
            let released = self.container.wait(async { blob.release_lease(node, None).await.map(|_| ()) });
            if let Err(error) = released {
                tracing::debug!(%error, "a lease runs out by itself");
            }
        }
    }

    fn save(&self, job: &Job) -> Result<()> {
        self.put(&self.name(&job.id, RECORD)?, job)
    }

    fn save_patients(&self, job: &str, patients: &[String]) -> Result<()> {
        self.put(&self.name(job, PATIENTS)?, &patients)
    }

    fn patients(&self, job: &str) -> Result<Option<Vec<String>>> {
        self.get(&self.name(job, PATIENTS)?)
    }

    fn load(&self, job: &str) -> Result<Option<Job>> {
        match self.name(job, RECORD) {
            Ok(name) => self.get(&name),
            // No job has such a name.
            Err(_) => Ok(None),
        }
    }

    fn all(&self) -> Result<Vec<Job>> {
        let mut jobs = Vec::new();
        for (_, job) in self.container.list(&format!("{}/", self.tenant.as_str()))?.into_keys() {
            jobs.extend(self.load(&job)?);
        }
        jobs.sort_by(|one, other| (one.created_ms, &one.id).cmp(&(other.created_ms, &other.id)));
        Ok(jobs)
    }

    fn remove(&self, job: &str) -> Result<()> {
        let record = self.name(job, RECORD)?;
        self.container.claimed().remove(&record);
        // Whoever works on it loses it. First the record: what is left after a crash is no job.
        let mut attempts = 0;
        while !self.remove_record(&record)? {
            attempts += 1;
            if attempts == REMOVALS {
                return Err(unreachable("another server claims a job again and again while it is removed"));
            }
        }
        for blobs in self.container.list(&format!("{}/{job}/", self.tenant.as_str()))?.into_values() {
            blobs.names.iter().try_for_each(|name| self.container.delete(name))?;
        }
        Ok(())
    }
}
