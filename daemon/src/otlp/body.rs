//! A request's body: read whole, unpacked, and never larger, slower or more numerous than allowed.

use std::future::poll_fn;
use std::io::Read;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use flate2::read::{MultiGzDecoder, ZlibDecoder};
use hyper::body::{Body as _, Incoming};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokmon_core::limits::{MAX_OTLP_BODY_BYTES, MAX_OTLP_MEMORY_BYTES, MAX_OTLP_UNPACKED_BYTES};

use super::answer::Why;

/// Longest time that a body may take to come: exporters give up after ten seconds.
const BODY_PATIENCE: Duration = Duration::from_secs(10);
/// The unit in which memory is shared out.
const PAGE: usize = 4096;
/// Bytes that are unpacked in one step.
const STEP: usize = 64 * 1024;
/// A larger body is unpacked where it keeps nobody waiting.
const INLINE_BYTES: usize = 4096;

/// Why a body was not taken, and what to say of it.
pub(super) type Refused = (Why, String);

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Packing {
    Plain,
    Gzip,
    Deflate,
}

impl Packing {
    /// By the name that the header says; nothing is plain.
    pub(super) fn of(name: &str) -> Option<Packing> {
        match name.trim().to_ascii_lowercase().as_str() {
            "" | "identity" => Some(Packing::Plain),
            "gzip" | "x-gzip" => Some(Packing::Gzip),
            "deflate" => Some(Packing::Deflate),
            _ => None,
        }
    }
}

/// The memory that all bodies share.
#[derive(Clone)]
pub(super) struct Memory(Arc<Semaphore>);

impl Default for Memory {
    fn default() -> Memory {
        Memory(Arc::new(Semaphore::new(MAX_OTLP_MEMORY_BYTES / PAGE)))
    }
}

/// One request's share of the memory; given back when dropped.
pub(super) struct Share {
    memory: Memory,
    held: Vec<OwnedSemaphorePermit>,
    pages: usize,
}

impl Share {
    pub(super) fn new(memory: &Memory) -> Share {
        Share {
            memory: memory.clone(),
            held: Vec::new(),
            pages: 0,
        }
    }

    /// Takes as much as `bytes` more need.
    fn take(&mut self, bytes: usize) -> Result<(), Refused> {
        let pages = bytes.div_ceil(PAGE);
        let more = u32::try_from(pages).unwrap_or(u32::MAX);
        let permit = self.memory.0.clone().try_acquire_many_owned(more);
        let permit = permit.map_err(|_| (Why::Busy, "too much telemetry at once".to_owned()))?;
        match self.held.first_mut() {
            Some(first) => first.merge(permit),
            None => self.held.push(permit),
        }
        self.pages += pages;
        Ok(())
    }

    /// Room for a buffer of this capacity, beyond what `before` had.
    fn cover(&mut self, capacity: usize, before: usize) -> Result<(), Refused> {
        match capacity.saturating_sub(before) {
            0 => Ok(()),
            more => self.take(more),
        }
    }
}

/// Reads a body to its end.
pub(super) async fn read(body: Incoming, share: &mut Share) -> Result<Vec<u8>, Refused> {
    let read = tokio::time::timeout(BODY_PATIENCE, collect(body, share)).await;
    let seconds = BODY_PATIENCE.as_secs();
    read.unwrap_or_else(|_| {
        Err((
            Why::Slow,
            format!("the body did not come within {seconds} seconds"),
        ))
    })
}

async fn collect(mut body: Incoming, share: &mut Share) -> Result<Vec<u8>, Refused> {
    let most = u64::try_from(MAX_OTLP_BODY_BYTES).unwrap_or(u64::MAX);
    if body.size_hint().lower() > most {
        return Err(too_large());
    }
    let mut bytes = Vec::new();
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        let data = match frame {
            None => return Ok(bytes),
            Some(Err(e)) => return Err((Why::Malformed, format!("the body broke off: {e}"))),
            Some(Ok(frame)) => match frame.into_data() {
                Ok(data) => data,
                // Trailers mean nothing here.
                Err(_) => continue,
            },
        };
        if bytes.len() + data.len() > MAX_OTLP_BODY_BYTES {
            return Err(too_large());
        }
        let before = bytes.capacity();
        bytes.extend_from_slice(&data);
        share.cover(bytes.capacity(), before)?;
    }
}

pub(super) fn too_large() -> Refused {
    let allowed = format!(
        "the body is too large; allowed: {MAX_OTLP_BODY_BYTES} bytes, unpacked {MAX_OTLP_UNPACKED_BYTES}"
    );
    (Why::TooLarge, allowed)
}

/// Unpacks a body.
pub(super) fn unpack(packed: Vec<u8>, packing: Packing, share: &mut Share) -> Result<Vec<u8>, Refused> {
    if packing == Packing::Plain {
        return Ok(packed);
    }
    if packed.len() <= INLINE_BYTES {
        inflate(&packed, packing, share)
    } else {
        tokio::task::block_in_place(|| inflate(&packed, packing, share))
    }
}

fn inflate(packed: &[u8], packing: Packing, share: &mut Share) -> Result<Vec<u8>, Refused> {
    let mut reader: Box<dyn Read + '_> = match packing {
        Packing::Deflate => Box::new(ZlibDecoder::new(packed)),
        _ => Box::new(MultiGzDecoder::new(packed)),
    };
    let mut bytes: Vec<u8> = Vec::new();
    loop {
        let (length, before) = (bytes.len(), bytes.capacity());
        if before - length < STEP {
            bytes.reserve(STEP);
            share.cover(bytes.capacity(), before)?;
        }
        let step = u64::try_from(STEP).unwrap_or(u64::MAX);
        match (&mut reader).take(step).read_to_end(&mut bytes) {
            Ok(0) => return Ok(bytes),
            Ok(_) if bytes.len() > MAX_OTLP_UNPACKED_BYTES => return Err(too_large()),
            Ok(_) => {}
            Err(e) => return Err((Why::Malformed, format!("the body cannot be unpacked: {e}"))),
        }
    }
}

/// The one message in the body of a gRPC call, with whether it is packed.
pub(super) fn message(mut body: Vec<u8>) -> Result<(Vec<u8>, bool), Refused> {
    let broken = |what: &str| Err((Why::Malformed, format!("malformed gRPC message: {what}")));
    let Some((head, rest)) = body.split_at_checked(5) else {
        return broken("shorter than its prefix");
    };
    let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]);
    if usize::try_from(length) != Ok(rest.len()) {
        return broken("its length is not what its prefix says");
    }
    let packed = head[0] == 1;
    if head[0] > 1 {
        return broken("an unknown flag");
    }
    body.drain(..5);
    Ok((body, packed))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::Compression;
    use flate2::write::{GzEncoder, ZlibEncoder};

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn unpacked(packed: &[u8], packing: Packing) -> Result<Vec<u8>, Refused> {
        inflate(packed, packing, &mut Share::new(&Memory::default()))
    }

    #[test]
    fn packed_bodies_come_out_whole() {
        let text = b"one two three ".repeat(50_000);
        assert_eq!(unpacked(&gzip(&text), Packing::Gzip).unwrap(), text);
        let mut encoder = ZlibEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&text).unwrap();
        assert_eq!(
            unpacked(&encoder.finish().unwrap(), Packing::Deflate).unwrap(),
            text
        );
        assert_eq!(unpacked(&gzip(b""), Packing::Gzip).unwrap(), b"");
    }

    #[test]
    fn bombs_cuts_and_junk_are_refused() {
        let bomb = gzip(&vec![0; MAX_OTLP_UNPACKED_BYTES + 1]);
        assert!(bomb.len() < 100_000);
        assert_eq!(unpacked(&bomb, Packing::Gzip).unwrap_err().0, Why::TooLarge);
        let whole = gzip(b"hello");
        for broken in [&whole[..whole.len() - 1], &whole[..4], b"", b"no gzip at all"] {
            let (why, said) = unpacked(broken, Packing::Gzip).unwrap_err();
            assert_eq!(why, Why::Malformed, "{said}");
        }
    }

    #[test]
    fn memory_is_shared_and_given_back() {
        let memory = Memory::default();
        let packed = gzip(&vec![b'x'; 10 << 20]);
        let mut shares = Vec::new();
        let refused = loop {
            let mut share = Share::new(&memory);
            match inflate(&packed, Packing::Gzip, &mut share) {
                Ok(_) => shares.push(share),
                Err(refused) => break refused,
            }
            assert!(shares.len() < 100);
        };
        assert_eq!(refused.0, Why::Busy);
        shares.clear();
        assert!(inflate(&packed, Packing::Gzip, &mut Share::new(&memory)).is_ok());
    }

    #[test]
    fn grpc_messages() {
        assert_eq!(message(vec![1, 0, 0, 0, 2, 7, 8]), Ok((vec![7, 8], true)));
        assert_eq!(message(vec![0; 5]), Ok((vec![], false)));
        for broken in [
            &[][..],
            &[0; 4],
            &[0, 0, 0, 0, 1],
            &[0, 0, 0, 0, 0, 1],
            &[2, 0, 0, 0, 0],
            &[0, 255, 255, 255, 255],
        ] {
            assert_eq!(message(broken.to_vec()).unwrap_err().0, Why::Malformed);
        }
    }
}
