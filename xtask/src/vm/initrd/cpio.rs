//! Writes the archive format the kernel unpacks its first file system from: cpio's "newc"
//! (Documentation/driver-api/early-userspace/buffer-format.rst).

/// The marks of a regular file and of a folder in a mode.
const REGULAR: u32 = 0o100_000;
const FOLDER: u32 = 0o040_000;

/// An archive in the making.
#[derive(Default)]
pub(super) struct Archive {
    bytes: Vec<u8>,
    entries: u32,
}

impl Archive {
    /// Adds a folder; what lies in it must come after it.
    pub(super) fn folder(&mut self, path: &str) {
        self.entry(path, FOLDER | 0o755, &[]);
    }

    /// Adds a program.
    pub(super) fn program(&mut self, path: &str, content: &[u8]) {
        self.entry(path, REGULAR | 0o755, content);
    }

    /// Ends the archive and gives its bytes.
    pub(super) fn finish(mut self) -> Vec<u8> {
        self.entry("TRAILER!!!", 0, &[]);
        self.bytes
    }

    fn entry(&mut self, path: &str, mode: u32, content: &[u8]) {
        self.entries += 1;
        let links = 1;
        let fields = [
            self.entries,
            mode,
            0,
            0,
            links,
            0,
            length(content.len()),
            0,
            0,
            0,
            0,
            length(path.len() + 1),
            0,
        ];
        self.bytes.extend(b"070701");
        for field in fields {
            self.bytes.extend(format!("{field:08x}").bytes());
        }
        self.bytes.extend(path.bytes());
        self.bytes.push(0);
        self.pad();
        self.bytes.extend(content);
        self.pad();
    }

    fn pad(&mut self) {
        self.bytes.resize(self.bytes.len().next_multiple_of(4), 0);
    }
}

/// A length as the format has it; what is longer than 4 GiB does not fit a guest's memory anyway.
fn length(bytes: usize) -> u32 {
    u32::try_from(bytes).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_entry_is_a_header_a_name_and_its_content_each_padded() {
        let mut archive = Archive::default();
        archive.folder("dev");
        archive.program("init", b"#!x\n!");
        let bytes = archive.finish();
        assert_eq!(bytes.len() % 4, 0);
        let header = |at: usize| std::str::from_utf8(&bytes[at..at + 110]).unwrap().to_owned();
        assert!(header(0).starts_with("07070100000001000041ed"));
        // 110 bytes of header and 4 of name, then 110 and 5 to the content: both padded to 4.
        assert!(header(116).starts_with("07070100000002000081ed"));
        assert_eq!(&bytes[116 + 116..116 + 121], b"#!x\n!");
        assert_eq!(&bytes[240 + 110..240 + 120], b"TRAILER!!!");
    }
}
