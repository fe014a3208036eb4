//! Reads the file of a block list, compressed or not, within bounds: it may come from a stranger.

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use flate2::read::MultiGzDecoder;

use super::writers::has_writer;

/// Largest text of a list; four million lines fit.
pub const MAX_TEXT_BYTES: u64 = 128 << 20;
/// What a gzip file begins with (RFC 1952 2.3.1).
const GZIP: [u8; 2] = [0x1f, 0x8b];

/// The text of a list.
pub(super) fn read(path: &Path) -> io::Result<String> {
    let file = File::open(path)?;
    let mut bytes = Vec::new();
    (&file).take(MAX_TEXT_BYTES + 1).read_to_end(&mut bytes)?;
    // Asked after it was read: whoever writes now may have written then.
    if has_writer(&file) || file.metadata()?.len() != bytes.len() as u64 {
        return Err(io::Error::new(
            io::ErrorKind::InvalidData,
            "it may be half written, or is too large; try again when nobody writes it",
        ));
    }
    text(bytes)
}

/// The text of a list that was read whole.
pub fn text(bytes: Vec<u8>) -> io::Result<String> {
    let bytes = if bytes.starts_with(&GZIP) {
        let mut plain = Vec::new();
        MultiGzDecoder::new(bytes.as_slice())
            .take(MAX_TEXT_BYTES + 1)
            .read_to_end(&mut plain)?;
        plain
    } else {
        bytes
    };
    if bytes.len() as u64 > MAX_TEXT_BYTES {
        return Err(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("it holds more than {MAX_TEXT_BYTES} bytes"),
        ));
    }
    String::from_utf8(bytes).map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is not UTF-8 text"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use flate2::{Compression, write::GzEncoder};

    use super::*;

    fn packed(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).expect("memory");
        encoder.finish().expect("memory")
    }

    #[test]
    fn gzip_is_unpacked_within_bounds() {
        assert_eq!(text(packed(b"1.2.3.4\n")).expect("whole"), "1.2.3.4\n");
        assert_eq!(text(b"1.2.3.4\n".to_vec()).expect("plain"), "1.2.3.4\n");
        let mut cut = packed(b"1.2.3.4\n");
        cut.truncate(15);
        text(cut).expect_err("half a file");
        let bomb = packed(&vec![b'1'; usize::try_from(MAX_TEXT_BYTES + 1).expect("64 bits")]);
        assert!(bomb.len() < 1 << 20);
        assert_eq!(
            text(bomb).expect_err("too much").kind(),
            io::ErrorKind::FileTooLarge
        );
    }
}
