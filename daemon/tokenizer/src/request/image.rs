//! What an image costs, by the formulas that the providers document.
//!
//! Only the head of an image is looked at, for its size.

use serde_json::Value;

use crate::model::{CLAUDE_NEWER, bare, profile};

/// Most characters of base64 that are looked at for the size of an image: past any preview in its head.
const HEAD: usize = 256 * 1024;

/// Pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Size {
    pub(crate) width: u32,
    pub(crate) height: u32,
}

/// How OpenAI counts the images of a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OpenAi {
    /// Tiles of 512 pixels.
    Tiles {
        /// For the whole image.
        base: u64,
        /// For each tile.
        tile: u64,
    },
    /// Patches of 32 pixels, each this many hundredths of a token.
    Patches(u64),
}

impl OpenAi {
    /// The rule of a model; its name is without what gateways put around it.
    pub(crate) fn of(model: &str) -> OpenAi {
        // The first that fits holds.
        let rules = [
            ("gpt-4.1-mini", OpenAi::Patches(162)),
            ("gpt-4.1-nano", OpenAi::Patches(246)),
            ("o4-mini", OpenAi::Patches(172)),
            ("gpt-5-mini", OpenAi::Patches(120)),
            ("gpt-5-nano", OpenAi::Patches(150)),
            ("gpt-5.4-mini", OpenAi::Patches(162)),
            (
                "gpt-4o-mini",
                OpenAi::Tiles {
                    base: 2833,
                    tile: 5667,
                },
            ),
            ("gpt-4", OpenAi::Tiles { base: 85, tile: 170 }),
            ("o1", OpenAi::Tiles { base: 75, tile: 150 }),
            ("o3", OpenAi::Tiles { base: 75, tile: 150 }),
        ];
        let fits = rules.into_iter().find(|(prefix, _)| model.starts_with(prefix));
        fits.map_or(OpenAi::Tiles { base: 70, tile: 140 }, |(_, rule)| rule)
    }

    pub(crate) fn tokens(self, size: Size, low_detail: bool) -> u64 {
        let (width, height) = (f64::from(size.width), f64::from(size.height));
        match self {
            OpenAi::Tiles { base, .. } if low_detail => base,
            OpenAi::Tiles { base, tile } => {
                let fit = (2048.0 / width.max(height)).min(1.0);
                let fit = fit * (768.0 / (width.min(height) * fit)).min(1.0);
                base + tile * units(width * fit, 512.0) * units(height * fit, 512.0)
            }
            OpenAi::Patches(hundredths) => {
                let mut patches = units(width, 32.0) * units(height, 32.0);
                if patches > 1536 {
                    // Scaled down so that whole patches of one side fit, and no more than the most that there may be.
                    let fit = (1536.0 * 1024.0 / (width * height)).sqrt();
                    let (across, down) = (width * fit / 32.0, height * fit / 32.0);
                    let whole = (across.floor().max(1.0) / across).min(down.floor().max(1.0) / down);
                    patches = units(across * whole, 1.0) * units(down * whole, 1.0);
                }
                (patches.min(1536) * hundredths).div_ceil(100)
            }
        }
    }
}

/// Claude: patches of 28 pixels, after scaling down to what the tokenizer's generation allows.
pub(crate) fn anthropic(size: Size, newer: bool) -> u64 {
    let (edge, most) = if newer { (2576.0, 4784) } else { (1568.0, 1568) };
    let (width, height) = (f64::from(size.width), f64::from(size.height));
    let fit = (edge / width.max(height)).min(1.0);
    (units(width * fit, 28.0) * units(height * fit, 28.0)).min(most) + 3
}

/// Gemini: 258 for each tile of 768 pixels; a small image is one.
pub(crate) fn gemini(size: Size) -> u64 {
    if size.width <= 384 && size.height <= 384 {
        return 258;
    }
    258 * units(size.width.into(), 768.0) * units(size.height.into(), 768.0)
}

/// What an image in base64 is billed as, by the rule of the model's vendor. `None`: its size cannot be read, or no rule is
/// known.
pub fn image_tokens(base64: &str, model: &str) -> Option<u64> {
    let size = of_base64(base64)?;
    let name = bare(model);
    match () {
        () if name.starts_with("claude") => Some(anthropic(size, profile(model) == CLAUDE_NEWER)),
        () if name.starts_with("gemini") => Some(gemini(size)),
        () if ["gpt", "o1", "o3", "o4", "codex"]
            .iter()
            .any(|known| name.starts_with(known)) =>
        {
            Some(OpenAi::of(&name).tokens(size, false))
        }
        () => None,
    }
}

/// How many units of this length cover a length.
fn units(length: f64, unit: f64) -> u64 {
    // A hair below, so that what scaling made of a whole number stays one.
    ((length / unit - 1e-9).ceil() as u64).max(1)
}

/// The size of an image that is given as a `data:` URL.
pub(crate) fn of_url(url: &Value) -> Option<Size> {
    let (head, data) = url.as_str()?.split_once(',')?;
    (head.starts_with("data:") && head.ends_with("base64")).then(|| of_base64(data))?
}

/// The size of an image that is given in base64.
pub(crate) fn of_base64(data: &str) -> Option<Size> {
    let bytes = decode(&data.as_bytes()[..data.len().min(HEAD)]);
    let size = png(&bytes)
        .or_else(|| gif(&bytes))
        .or_else(|| webp(&bytes))
        .or_else(|| jpeg(&bytes))?;
    (size.width > 0 && size.height > 0).then_some(size)
}

fn decode(text: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0_u32, 0);
    for byte in text {
        let six = match byte {
            b'A'..=b'Z' => byte - b'A',
            b'a'..=b'z' => byte - b'a' + 26,
            b'0'..=b'9' => byte - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'=' => break,
            _ => continue,
        };
        bits = bits << 6 | u32::from(six);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

fn big(bytes: &[u8], at: usize, len: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + len)?;
    Some(
        bytes
            .iter()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}

fn small(bytes: &[u8], at: usize, len: usize) -> Option<u32> {
    let bytes = bytes.get(at..at + len)?;
    Some(
        bytes
            .iter()
            .rev()
            .fold(0, |number, byte| number << 8 | u32::from(*byte)),
    )
}

fn png(bytes: &[u8]) -> Option<Size> {
    bytes.starts_with(b"\x89PNG\r\n\x1a\n").then_some(())?;
    Some(Size {
        width: big(bytes, 16, 4)?,
        height: big(bytes, 20, 4)?,
    })
}

fn gif(bytes: &[u8]) -> Option<Size> {
    bytes.starts_with(b"GIF8").then_some(())?;
    Some(Size {
        width: small(bytes, 6, 2)?,
        height: small(bytes, 8, 2)?,
    })
}

fn webp(bytes: &[u8]) -> Option<Size> {
    (bytes.starts_with(b"RIFF") && bytes.get(8..12)? == b"WEBP").then_some(())?;
    let (width, height) = match bytes.get(12..16)? {
        b"VP8 " => (small(bytes, 26, 2)? & 0x3fff, small(bytes, 28, 2)? & 0x3fff),
        b"VP8L" => {
            let packed = small(bytes, 21, 4)?;
            ((packed & 0x3fff) + 1, (packed >> 14 & 0x3fff) + 1)
        }
        b"VP8X" => (small(bytes, 24, 3)? + 1, small(bytes, 27, 3)? + 1),
        _ => return None,
    };
    Some(Size { width, height })
}

fn jpeg(bytes: &[u8]) -> Option<Size> {
    bytes.starts_with(&[0xff, 0xd8]).then_some(())?;
    let mut at = 2;
    loop {
        // A marker, its length, and for the frames: depth, height, width.
        match (bytes.get(at)?, bytes.get(at + 1)?) {
            (0xff, 0xff) => at += 1,
            (0xff, 0xc0..=0xc3 | 0xc5..=0xc7 | 0xc9..=0xcb | 0xcd..=0xcf) => {
                return Some(Size {
                    width: big(bytes, at + 7, 2)?,
                    height: big(bytes, at + 5, 2)?,
                });
            }
            (0xff, _) => at += 2 + big(bytes, at + 2, 2)?.max(2) as usize,
            _ => return None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size(width: u32, height: u32) -> Size {
        Size { width, height }
    }

    /// Figures that were billed.
    #[test]
    fn billed_images() {
        let openai = [
            ("gpt-4o", size(640, 480), 425),
            ("gpt-4o", size(3008, 2000), 1105),
            ("gpt-5", size(640, 480), 350),
            ("gpt-4.1-mini", size(640, 480), 486),
        ];
        for (model, size, tokens) in openai {
            assert_eq!(OpenAi::of(model).tokens(size, false), tokens, "{model} {size:?}");
        }
        assert_eq!(anthropic(size(166, 282), false), 66 + 3);
        assert_eq!(anthropic(size(540, 360), false), 260 + 3);
        assert_eq!(anthropic(size(1001, 1001), false), 1296 + 3);
    }

    #[test]
    fn large_images_are_scaled_down_first() {
        assert_eq!(OpenAi::of("gpt-4o").tokens(size(4000, 4000), true), 85);
        let patches = OpenAi::of("gpt-5-mini").tokens(size(9000, 9000), false);
        assert!(
            (1400 * 12 / 10..=1536 * 12 / 10 + 1).contains(&patches),
            "{patches}"
        );
        assert!(anthropic(size(8000, 8000), false) <= 1568 + 3);
        assert!(anthropic(size(8000, 8000), true) <= 4784 + 3);
        assert_eq!(gemini(size(300, 300)), 258);
        assert_eq!(gemini(size(1000, 700)), 516);
        for extreme in [
            size(1, 1),
            size(u32::MAX, 1),
            size(1, u32::MAX),
            size(u32::MAX, u32::MAX),
        ] {
            for model in ["gpt-4o", "gpt-5-mini"] {
                assert!(OpenAi::of(model).tokens(extreme, false) > 0, "{extreme:?}");
            }
            assert!(anthropic(extreme, true) > 0 && gemini(extreme) > 0, "{extreme:?}");
        }
    }

    #[test]
    fn an_image_is_billed_by_the_rule_of_its_vendor() {
        let png = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4";
        for (model, tokens) in [
            ("anthropic/claude-opus-4-6", Some(4)),
            ("gemini-2.5-pro", Some(258)),
            ("gpt-5", Some(210)),
            ("nobody-knows-9", None),
        ] {
            assert_eq!(image_tokens(png, model), tokens, "{model}");
            assert_eq!(image_tokens("AAAA", model), None);
        }
    }

    #[test]
    fn sizes_are_read_from_the_head() {
        // A PNG of 5 × 5 pixels.
        let png = "iVBORw0KGgoAAAANSUhEUgAAAAUAAAAFCAYAAACNbyblAAAAHElEQVQI12P4";
        assert_eq!(of_base64(png), Some(size(5, 5)));
        let url = Value::from(format!("data:image/png;base64,{png}"));
        assert_eq!(of_url(&url), Some(size(5, 5)));
        // A JPEG's start, a segment to skip, a frame of 7 × 3.
        let jpeg = [
            0xff, 0xd8, 0xff, 0xe0, 0, 4, 1, 2, 0xff, 0xc0, 0, 11, 8, 0, 3, 0, 7, 1,
        ];
        assert_eq!(super::jpeg(&jpeg), Some(size(7, 3)));
        assert_eq!(super::gif(b"GIF89a\x07\x00\x03\x00"), Some(size(7, 3)));
        for cut in 0..jpeg.len() - 1 {
            assert_eq!(super::jpeg(&jpeg[..cut]), None, "{cut}");
        }
        for none in [
            "",
            "AAAA",
            "data:image/png;base64,",
            "https://example.org/a.png",
            "iVBORw0KGgo=",
            "é",
        ] {
            assert_eq!(of_base64(none), None, "{none}");
            assert_eq!(of_url(&Value::from(none)), None, "{none}");
        }
    }
}
