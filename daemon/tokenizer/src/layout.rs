//! The classes of characters as they lie in the program; shared by the build script, which writes them, and by
//! [`crate::classes`], which reads them in place.

/// A capital letter or one without case, or a mark: `[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]`.
pub(crate) const UPPER: u8 = 1;
/// A small letter or one without case, or a mark: `[\p{Ll}\p{Lm}\p{Lo}\p{M}]`.
pub(crate) const LOWER: u8 = 2;
/// `\p{L}`.
pub(crate) const LETTER: u8 = 4;
/// `\p{N}`.
pub(crate) const NUMBER: u8 = 8;
/// `\s`.
pub(crate) const SPACE: u8 = 16;
/// `[\r\n]`.
pub(crate) const LINE_END: u8 = 32;

/// Characters of one block of the table of classes, as a power of two.
pub(crate) const BLOCK_BITS: u32 = 7;
