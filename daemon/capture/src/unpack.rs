//! Reading Zstandard: every frame of a file. Tools that compress in parallel or append write several, and may put
//! frames of their own between them that are to be skipped.

use std::io::{self, BufRead, Read};

use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// The unpacked text of a compressed one.
pub(crate) struct Unpacked<R> {
    packed: R,
    decoder: FrameDecoder,
    /// In the middle of a frame.
    inside: bool,
}

impl<R: BufRead> Unpacked<R> {
    pub(crate) fn new(packed: R) -> Unpacked<R> {
        Unpacked {
            packed,
            decoder: FrameDecoder::new(),
            inside: false,
        }
    }

    /// Goes to the next frame with something in it. False: there is none.
    fn enter(&mut self) -> io::Result<bool> {
        while !self.packed.fill_buf()?.is_empty() {
            match self.decoder.init(&mut self.packed) {
                Ok(()) => return Ok(true),
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let length = u64::from(length);
                    let skipped = io::copy(&mut self.packed.by_ref().take(length), &mut io::sink())?;
                    if skipped < length {
                        return Err(io::ErrorKind::UnexpectedEof.into());
                    }
                }
                Err(error) => return Err(io::Error::other(error)),
            }
        }
        Ok(false)
    }
}

impl<R: BufRead> Read for Unpacked<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if !self.inside {
                self.inside = self.enter()?;
                if !self.inside {
                    return Ok(0);
                }
            }
            while self.decoder.can_collect() < buffer.len() && !self.decoder.is_finished() {
                let wanted = BlockDecodingStrategy::UptoBytes(buffer.len() - self.decoder.can_collect());
                self.decoder
                    .decode_blocks(&mut self.packed, wanted)
                    .map_err(io::Error::other)?;
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 {
                return Ok(read);
            }
            self.inside = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use ruzstd::encoding::{CompressionLevel, compress_to_vec};

    use super::*;

    fn packed(text: &str) -> Vec<u8> {
        compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
    }

    fn unpack(packed: &[u8]) -> (String, bool) {
        let mut text = String::new();
        let whole = Unpacked::new(packed).read_to_string(&mut text).is_ok();
        (text, whole)
    }

    #[test]
    fn every_frame_is_read_and_foreign_ones_are_skipped() {
        let foreign = [&[0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0][..], b"abcd"].concat();
        let long = "0123456789".repeat(100_000);
        let (one, two) = (packed(&long), packed("two"));
        for (parts, wanted, whole) in [
            (vec![], "", true),
            (vec![&one], &*long, true),
            (vec![&two, &packed(""), &two], "twotwo", true),
            (vec![&foreign, &two, &foreign, &two, &foreign], "twotwo", true),
            (vec![&two, &b"garbage".to_vec()], "two", false),
            (vec![&two, &foreign[..9].to_vec()], "two", false),
            (vec![&two, &two[..two.len() - 2].to_vec()], "two", false),
        ] {
            let parts: Vec<u8> = parts.into_iter().flatten().copied().collect();
            let (text, is_whole) = unpack(&parts);
            assert!(
                text == wanted && is_whole == whole,
                "{} {is_whole} instead of {wanted:.20} {whole}",
                text.len()
            );
        }
    }
}
