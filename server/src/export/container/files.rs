//! The files of jobs in a container: written in blocks while the next one is filled, there at once when the last one is, and read
//! in pieces. A block that belongs to no finished file is removed by the service.

use std::collections::VecDeque;
use std::io::{Error, ErrorKind, Read, Result, Seek, SeekFrom, Write};

use azure_storage_blob::clients::{BlobClient, BlockBlobClient};
use azure_storage_blob::models::{
    BlobClientDownloadOptions, BlobClientGetPropertiesResultHeaders as _, BlockBlobClientStageBlockOptions,
    BlockLookupList, HttpRange,
};
use bulk::{Output, OutputFile, Reading, unreachable};
use bytes::Bytes;
use tokio::task::JoinHandle;

use super::{Container, OfTenant, PATIENCE, fault};

/// Bytes of a block. A blob has 50,000 at most: a file of 195 GiB.
const BLOCK: usize = 4 << 20;
/// Blocks on their way at a time, besides the one that is filled.
const UNDER_WAY: usize = 3;
/// Bytes of a file that are read at once.
const PIECE: u64 = 4 << 20;

impl Output for OfTenant {
    fn create(&self, job: &str, name: &str) -> Result<Box<dyn OutputFile>> {
        let blob = self.container.blob(&self.name(job, name)?).block_blob_client();
        Ok(Box::new(Blocks {
            container: self.container.clone(),
            blob: std::sync::Arc::new(blob),
            // Blocks of an attempt that came to nothing have other names.
            attempt: uuid::Uuid::new_v4().into_bytes(),
            filled: Vec::new(),
            named: Vec::new(),
            under_way: VecDeque::new(),
        }))
    }

    fn open(&self, job: &str, name: &str) -> Result<Box<dyn Reading>> {
        let blob = self.container.blob(&self.name(job, name)?);
        let length = self.container.wait(async { blob.get_properties(None).await?.content_length() })?;
        let length = length.ok_or_else(|| unreachable("the container does not say how long a file is"))?;
        Ok(Box::new(Pieces { container: self.container.clone(), blob, length, at: 0, piece: Bytes::new() }))
    }

    fn remove_files(&self, job: &str) -> Result<()> {
        for blobs in self.container.list(&format!("{}/{job}/", self.tenant.as_str()))?.into_values() {
            let mut files = blobs.names.iter().filter(|name| !name.ends_with(".json"));
            files.try_for_each(|name| self.container.delete(name))?;
        }
        Ok(())
    }
}

/// A file that is written.
struct Blocks {
    container: Container,
    blob: std::sync::Arc<BlockBlobClient>,
    attempt: [u8; 16],
    filled: Vec<u8>,
    named: Vec<Vec<u8>>,
    under_way: VecDeque<JoinHandle<Result<()>>>,
}

impl Blocks {
    /// Sends what was filled.
    fn send(&mut self) -> Result<()> {
        if self.filled.is_empty() {
            return Ok(());
        }
        while self.under_way.len() >= UNDER_WAY {
            self.await_oldest()?;
        }
        let number = u64::try_from(self.named.len()).map_err(Error::other)?;
        let id = [&self.attempt[..], &number.to_be_bytes()].concat();
        let bytes = Bytes::from(std::mem::take(&mut self.filled));
        self.named.push(id.clone());
        let blob = std::sync::Arc::clone(&self.blob);
        self.under_way.push_back(self.container.runtime.spawn(async move { stage(&blob, &id, bytes).await }));
        Ok(())
    }

    fn await_oldest(&mut self) -> Result<()> {
        let Some(oldest) = self.under_way.pop_front() else { return Ok(()) };
        let runtime = &self.container.runtime;
        tokio::task::block_in_place(|| runtime.block_on(oldest)).map_err(Error::other)?
    }
}

async fn stage(blob: &BlockBlobClient, id: &[u8], bytes: Bytes) -> Result<()> {
    let length = bytes.len() as u64;
    let options = BlockBlobClientStageBlockOptions::default();
    let staged = blob.stage_block(id, length, bytes.into(), Some(options));
    match tokio::time::timeout(PATIENCE, staged).await {
        Ok(Ok(_)) => Ok(()),
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => Err(unreachable("the container does not take a block in time")),
    }
}

impl Write for Blocks {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        let room = BLOCK.saturating_sub(self.filled.len()).min(bytes.len());
        self.filled.extend_from_slice(bytes.get(..room).unwrap_or_default());
        if self.filled.len() >= BLOCK {
            self.send()?;
        }
        Ok(room)
    }

    fn flush(&mut self) -> Result<()> {
        Ok(())
    }
}

impl OutputFile for Blocks {
    fn finish(mut self: Box<Self>) -> Result<()> {
        self.send()?;
        while !self.under_way.is_empty() {
            self.await_oldest()?;
        }
        let list = BlockLookupList { latest: Some(std::mem::take(&mut self.named)), ..Default::default() };
        self.container.wait(async { self.blob.commit_block_list(list.try_into()?, None).await.map(|_| ()) })
    }
}

impl Drop for Blocks {
    fn drop(&mut self) {
        self.under_way.iter().for_each(JoinHandle::abort);
    }
}

/// A file that is read.
struct Pieces {
    container: Container,
    blob: BlobClient,
    length: u64,
    at: u64,
    piece: Bytes,
}

impl Read for Pieces {
    fn read(&mut self, buffer: &mut [u8]) -> Result<usize> {
        if self.piece.is_empty() && self.at < self.length {
            let range = HttpRange::from(self.at..self.length.min(self.at + PIECE));
            let options = BlobClientDownloadOptions { range: Some(range), ..Default::default() };
            let blob = &self.blob;
            self.piece =
                self.container.wait(async { blob.download(Some(options)).await?.body.collect().await })?;
            if self.piece.is_empty() {
                return Err(Error::from(ErrorKind::UnexpectedEof));
            }
        }
        let read = self.piece.split_to(buffer.len().min(self.piece.len()));
        if let Some(part) = buffer.get_mut(..read.len()) {
            part.copy_from_slice(&read);
        }
        self.at += read.len() as u64;
        Ok(read.len())
    }
}

impl Seek for Pieces {
    fn seek(&mut self, to: SeekFrom) -> Result<u64> {
        let at = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => self.length.checked_add_signed(by),
        };
        self.at = at.ok_or_else(|| Error::from(ErrorKind::InvalidInput))?;
        self.piece = Bytes::new();
        Ok(self.at)
    }
}
