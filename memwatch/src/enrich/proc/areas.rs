//! Reads the areas of an address space, of any number, through one buffer.

use std::ops::ControlFlow;

use super::fs::failed;
use super::{
    LineBuffer, Mapping, ParseError, ProcessDir, ReadError, SmapsLine, parse_mapping, parse_smaps_line,
};

impl ProcessDir {
    /// Calls `visit` with each area of the address space, in order of addresses, until it breaks.
    ///
    /// # Errors
    /// When the process is gone, belongs to somebody else, or a line is not understood.
    pub fn each_mapping(
        &self,
        buffer: &mut LineBuffer,
        mut visit: impl FnMut(&Mapping<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.each_line("maps", buffer, |line| parse_mapping(line).map(|mapping| visit(&mapping)))
    }

    /// Calls `visit` with each line of `smaps` until it breaks. The kernel walks the pages of each area as it is reached.
    ///
    /// # Errors
    /// When the process is gone, belongs to somebody else, or a line is not understood.
    pub fn each_smaps_line(
        &self,
        buffer: &mut LineBuffer,
        mut visit: impl FnMut(&SmapsLine<'_>) -> ControlFlow<()>,
    ) -> Result<(), ReadError> {
        self.each_line("smaps", buffer, |line| parse_smaps_line(line).map(|line| visit(&line)))
    }

    fn each_line(
        &self,
        file: &'static str,
        buffer: &mut LineBuffer,
        mut visit: impl FnMut(&[u8]) -> Result<ControlFlow<()>, ParseError>,
    ) -> Result<(), ReadError> {
        let text = self.file(file).map_err(|error| failed(self.tgid(), file, error))?;
        let ended = buffer.each(text, |line| match visit(line) {
            Ok(ControlFlow::Continue(())) => ControlFlow::Continue(()),
            Ok(ControlFlow::Break(())) => ControlFlow::Break(Ok(())),
            Err(source) => ControlFlow::Break(Err(source)),
        });
        let ended = ended.map_err(|error| failed(self.tgid(), file, error))?;
        ended.unwrap_or(Ok(())).map_err(|source| ReadError::Parse { tgid: self.tgid(), source })
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::enrich::proc::ProcFs;

    #[test]
    fn this_process_s_areas_are_those_it_knows_of() {
        let dir = ProcFs::open(Path::new("/proc")).unwrap().process(std::process::id()).unwrap();
        let mine = vec![1_u8; 64 << 20];
        let address = mine.as_ptr().addr() as u64;
        let holds = |mapping: &Mapping<'_>| {
            (mapping.start..mapping.start + mapping.length).contains(&address) && mapping.is_private_memory()
        };
        let mut buffer = LineBuffer::default();
        let mut found = None;
        dir.each_mapping(&mut buffer, |mapping| {
            if holds(mapping) {
                found = Some(mapping.length);
                return ControlFlow::Break(());
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(found.unwrap() >= 64 << 20);
        let (mut is_mine, mut resident) = (false, 0);
        dir.each_smaps_line(&mut buffer, |line| {
            if let SmapsLine::Mapping(mapping) = line {
                is_mine = holds(mapping);
            } else if let SmapsLine::Resident(bytes) = line {
                resident += if is_mine { *bytes } else { 0 };
            }
            ControlFlow::Continue(())
        })
        .unwrap();
        assert!(resident >= 64 << 20, "{resident}");
    }
}
