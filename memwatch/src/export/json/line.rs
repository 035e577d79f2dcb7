//! One line of JSON, field by field.

use crate::core::naming::Label;
use crate::export::clock::Clock;
use crate::export::escape;
use crate::export::kernel_names::{self, Bit};
use crate::export::schema::{Field, Name, Type, VERSION, fields};

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A line that is being written. [`Line::end`] closes it.
pub(super) struct Line<'a> {
    out: &'a mut Vec<u8>,
    clock: Clock,
    start: usize,
}

impl<'a> Line<'a> {
    /// Opens a line with the fields that every one carries.
    pub(super) fn begin(name: Name, boot_ns: u64, clock: Clock, out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        let mut line = Self { out, clock, start };
        line.word(&fields::EVENT_NAME, name.as_str());
        line.number(&fields::SCHEMA_VERSION, VERSION);
        line.time(&fields::TIMESTAMP, boot_ns);
        line.number(&fields::BOOT_NS, boot_ns);
        line
    }

    /// Goes on with an object that lacks nothing but its end. No moment can be written to it.
    pub(super) fn resume(out: &'a mut Vec<u8>) -> Self {
        let start = out.len();
        Self { out, clock: Clock::new(0), start }
    }

    /// Closes an object that was gone on with.
    pub(super) fn close(self) {
        self.out.extend_from_slice(b"}\n");
    }

    /// Closes the line.
    pub(super) fn end(self) {
        // Every field brings a comma in front; the first one stands where the object opens.
        if let Some(first) = self.out.get_mut(self.start) {
            *first = b'{';
        }
        self.out.extend_from_slice(b"}\n");
    }

    fn key(&mut self, field: &Field, ty: Type) {
        debug_assert_eq!(field.ty(), ty, "{}", field.key());
        self.out.extend_from_slice(field.lead().as_bytes());
    }

    pub(super) fn number(&mut self, field: &Field, value: impl itoa::Integer) {
        self.key(field, Type::Integer);
        self.out.extend_from_slice(itoa::Buffer::new().format(value).as_bytes());
    }

    /// A number, or nothing.
    pub(super) fn maybe(&mut self, field: &Field, value: Option<impl itoa::Integer>) {
        if let Some(value) = value {
            self.number(field, value);
        }
    }

    pub(super) fn flag(&mut self, field: &Field, value: bool) {
        self.key(field, Type::Flag);
        self.out.extend_from_slice(if value { b"true" } else { b"false" });
    }

    /// Text that needs no escapes.
    pub(super) fn word(&mut self, field: &Field, value: &'static str) {
        self.key(field, Type::Text);
        self.out.push(b'"');
        self.out.extend_from_slice(value.as_bytes());
        self.out.push(b'"');
    }

    /// Any bytes.
    pub(super) fn text(&mut self, field: &Field, value: &[u8]) {
        self.key(field, Type::Text);
        self.quoted(value);
    }

    pub(super) fn texts<T: AsRef<[u8]>>(&mut self, field: &Field, values: impl IntoIterator<Item = T>) {
        self.key(field, Type::Texts);
        self.out.push(b'[');
        for (index, value) in values.into_iter().enumerate() {
            if index > 0 {
                self.out.push(b',');
            }
            self.quoted(value.as_ref());
        }
        self.out.push(b']');
    }

    /// A key for each label.
    pub(super) fn labels(&mut self, field: &Field, labels: &[Label]) {
        debug_assert_eq!(field.ty(), Type::Labels, "{}", field.key());
        for Label { key, value } in labels {
            self.out.extend_from_slice(b",\"");
            self.out.extend_from_slice(field.prefix().as_bytes());
            escape::json(key.as_bytes(), self.out);
            self.out.extend_from_slice(b"\":");
            self.quoted(value.as_bytes());
        }
    }

    pub(super) fn time(&mut self, field: &Field, boot_ns: u64) {
        self.key(field, Type::Time);
        self.out.push(b'"');
        self.clock.push_rfc3339(boot_ns, self.out);
        self.out.push(b'"');
    }

    pub(super) fn hex(&mut self, field: &Field, value: u64) {
        self.key(field, Type::Hex);
        self.out.extend_from_slice(b"\"0x");
        let digits = (67 - (value | 1).leading_zeros()) / 4;
        for place in (0..digits).rev() {
            self.out.extend(HEX.get(((value >> (4 * place)) & 15) as usize));
        }
        self.out.push(b'"');
    }

    /// Flags by name.
    pub(super) fn bits(&mut self, field: &Field, value: u32, names: &[Bit], none: &str) {
        self.key(field, Type::Text);
        self.out.push(b'"');
        kernel_names::push_bits(value, names, none, self.out);
        self.out.push(b'"');
    }

    /// A system call's result: the address it gave, if there is a field for it, or the error.
    pub(super) fn result(&mut self, address: Option<&Field>, error: &Field, result: i64) {
        if kernel_names::is_error(result) {
            self.name_or_number(error, kernel_names::errno(result), result);
        } else if let Some(address) = address {
            self.hex(address, result as u64);
        }
    }

    /// A name where there is one, else the number as text.
    pub(super) fn name_or_number(
        &mut self,
        field: &Field,
        name: Option<&'static str>,
        number: impl itoa::Integer,
    ) {
        match name {
            Some(name) => self.word(field, name),
            None => self.text(field, itoa::Buffer::new().format(number).as_bytes()),
        }
    }

    fn quoted(&mut self, value: &[u8]) {
        self.out.push(b'"');
        escape::json(value, self.out);
        self.out.push(b'"');
    }
}
