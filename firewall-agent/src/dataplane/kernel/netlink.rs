//! As much netlink as is needed: requests, dumps, and a walk over attributes that skips what it does not know.

use std::io;

use bytemuck::{Pod, Zeroable, bytes_of, pod_read_unaligned};
use netlink_sys::{Socket, SocketAddr};

/// `linux/netlink.h`
const NLM_F_REQUEST: u16 = 1;
const NLM_F_ACK: u16 = 4;
const NLM_F_DUMP_INTERRUPTED: u16 = 0x10;
const NLM_F_DUMP: u16 = 0x300;
const NLMSG_ERROR: u16 = 2;
const NLMSG_DONE: u16 = 3;
const ALIGNMENT: usize = 4;

/// The kernel's messages in a dump are at most this long (`net/netlink/af_netlink.c`, `netlink_dump`).
const BUFFER_BYTES: usize = 64 << 10;
const DUMP_TRIES: u32 = 5;

#[derive(Clone, Copy, Pod, Zeroable)]
#[repr(C)]
struct Header {
    length: u32,
    kind: u16,
    flags: u16,
    sequence: u32,
    port: u32,
}

const HEADER_BYTES: usize = size_of::<Header>();

/// A message of an answer.
#[derive(Debug, Clone)]
pub(super) struct Message {
    payload: Vec<u8>,
}

impl Message {
    /// The fixed part at the start, and the attributes behind it; `None` where the message is too short.
    pub(super) fn split<F: Pod>(&self) -> Option<(F, Attributes<'_>)> {
        let fixed = self.payload.get(..size_of::<F>())?;
        let rest = self.payload.get(aligned(size_of::<F>())..).unwrap_or_default();
        Some((pod_read_unaligned(fixed), Attributes(rest)))
    }
}

const fn aligned(length: usize) -> usize {
    length.next_multiple_of(ALIGNMENT)
}

/// Attributes (`struct nlattr`) one behind the other: type without its flags, and value.
#[derive(Debug, Clone)]
pub(super) struct Attributes<'a>(pub(super) &'a [u8]);

impl<'a> Iterator for Attributes<'a> {
    type Item = (u16, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = 4;
        const TYPE_MASK: u16 = 0x3fff;
        let length = usize::from(u16_at(self.0, 0)?);
        let kind = u16_at(self.0, 2)? & TYPE_MASK;
        let value = self.0.get(HEADER..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((kind, value))
    }
}

impl<'a> Attributes<'a> {
    /// The value of the first attribute of a type.
    pub(super) fn get(&self, kind: u16) -> Option<&'a [u8]> {
        self.clone()
            .find_map(|(found, value)| (found == kind).then_some(value))
    }
}

fn u16_at(bytes: &[u8], offset: usize) -> Option<u16> {
    bytes
        .get(offset..)?
        .first_chunk()
        .map(|bytes| u16::from_ne_bytes(*bytes))
}

/// A value as a number.
pub(super) fn u32_of(value: &[u8]) -> Option<u32> {
    value.first_chunk().map(|bytes| u32::from_ne_bytes(*bytes))
}

/// A value as a text that may end in a zero.
pub(super) fn text_of(value: &[u8]) -> Option<String> {
    let text = value.split(|byte| *byte == 0).next()?;
    String::from_utf8(text.to_vec()).ok()
}

/// Appends an attribute to a request.
pub(super) fn push_attribute(request: &mut Vec<u8>, kind: u16, value: &[u8]) {
    let length = u16::try_from(4 + value.len()).unwrap_or(u16::MAX);
    request.extend_from_slice(&length.to_ne_bytes());
    request.extend_from_slice(&kind.to_ne_bytes());
    request.extend_from_slice(value);
    request.resize(aligned(request.len()), 0);
}

/// A socket for requests, in the network namespace of the thread that has opened it.
pub(super) struct Netlink {
    socket: Socket,
    sequence: u32,
}

impl Netlink {
    pub(super) fn open(protocol: isize) -> io::Result<Self> {
        let mut socket = Socket::new(protocol)?;
        socket.bind_auto()?;
        socket.connect(&SocketAddr::new(0, 0))?;
        Ok(Self { socket, sequence: 0 })
    }

    /// Asks for a list. Asks again where the list changed while it was being made.
    pub(super) fn dump(&mut self, kind: u16, request: &[u8]) -> io::Result<Vec<Message>> {
        for _ in 0..DUMP_TRIES {
            self.send(kind, NLM_F_REQUEST | NLM_F_DUMP, request)?;
            if let Some(messages) = self.collect()? {
                return Ok(messages);
            }
        }
        Err(io::Error::other("the list keeps changing"))
    }

    /// Has something done.
    pub(super) fn command(&mut self, kind: u16, request: &[u8]) -> io::Result<()> {
        self.send(kind, NLM_F_REQUEST | NLM_F_ACK, request)?;
        self.answer().map(drop)
    }

    /// Asks for one thing.
    pub(super) fn request(&mut self, kind: u16, request: &[u8]) -> io::Result<Message> {
        self.send(kind, NLM_F_REQUEST, request)?;
        self.answer()
    }

    fn answer(&self) -> io::Result<Message> {
        loop {
            let buffer = self.receive()?;
            for (header, payload) in Messages(&buffer) {
                if header.sequence == self.sequence {
                    check(header, payload)?;
                    return Ok(Message {
                        payload: payload.to_vec(),
                    });
                }
            }
        }
    }

    fn send(&mut self, kind: u16, flags: u16, request: &[u8]) -> io::Result<()> {
        self.sequence = self.sequence.wrapping_add(1);
        let header = Header {
            length: u32::try_from(HEADER_BYTES + request.len()).map_err(io::Error::other)?,
            kind,
            flags,
            sequence: self.sequence,
            port: 0,
        };
        let message = [bytes_of(&header), request].concat();
        self.socket.send(&message, 0).map(drop)
    }

    fn receive(&self) -> io::Result<Vec<u8>> {
        let mut buffer = Vec::with_capacity(BUFFER_BYTES);
        loop {
            match self.socket.recv(&mut buffer, 0) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
                Ok(_) => return Ok(buffer),
            }
        }
    }

    /// The messages of a dump, or `None` where it was interrupted by a change.
    fn collect(&self) -> io::Result<Option<Vec<Message>>> {
        let mut messages = Vec::new();
        let mut interrupted = false;
        loop {
            let buffer = self.receive()?;
            for (header, payload) in Messages(&buffer) {
                if header.sequence != self.sequence {
                    continue;
                }
                check(header, payload)?;
                interrupted |= header.flags & NLM_F_DUMP_INTERRUPTED != 0;
                if header.kind == NLMSG_DONE {
                    return Ok((!interrupted).then_some(messages));
                }
                messages.push(Message {
                    payload: payload.to_vec(),
                });
            }
        }
    }
}

/// An error that the kernel has answered with: `NLMSG_ERROR` and `NLMSG_DONE` start with a negative number.
fn check(header: Header, payload: &[u8]) -> io::Result<()> {
    if !matches!(header.kind, NLMSG_ERROR | NLMSG_DONE) {
        return Ok(());
    }
    let code = payload
        .first_chunk()
        .map_or(0, |bytes| i32::from_ne_bytes(*bytes));
    if code < 0 {
        Err(io::Error::from_raw_os_error(-code))
    } else {
        Ok(())
    }
}

/// Messages one behind the other.
struct Messages<'a>(&'a [u8]);

impl<'a> Iterator for Messages<'a> {
    type Item = (Header, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        let header: Header = pod_read_unaligned(self.0.get(..HEADER_BYTES)?);
        let length = usize::try_from(header.length).ok()?;
        let payload = self.0.get(HEADER_BYTES..length)?;
        self.0 = self.0.get(aligned(length)..).unwrap_or_default();
        Some((header, payload))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_are_walked_and_what_is_cut_short_ends_the_walk() {
        let mut bytes = Vec::new();
        push_attribute(&mut bytes, 3, b"eth0\0");
        push_attribute(&mut bytes, 0x8000 | 0x12, &[1, 2]);
        push_attribute(&mut bytes, 4, &7u32.to_ne_bytes());
        let attributes = Attributes(&bytes);
        assert_eq!(
            attributes.clone().map(|(kind, _)| kind).collect::<Vec<_>>(),
            [3, 18, 4]
        );
        assert_eq!(attributes.get(3).and_then(text_of).as_deref(), Some("eth0"));
        assert_eq!(attributes.get(4).and_then(u32_of), Some(7));
        assert_eq!(attributes.get(5), None);
        let cut = Attributes(&bytes[..bytes.len() - 1]);
        assert_eq!(cut.get(4), None);
        assert_eq!(Attributes(&[0; 3]).next(), None);
        assert_eq!(Attributes(&[0; 8]).next(), None, "a length of zero ends, too");
    }

    #[test]
    fn the_kernel_answers() {
        let mut netlink = Netlink::open(netlink_sys::protocols::NETLINK_ROUTE).unwrap();
        let links = netlink
            .dump(18, &[0; 16])
            .unwrap()
            .iter()
            .filter_map(|message| message.split::<[u8; 16]>()?.1.get(3).and_then(text_of))
            .collect::<Vec<_>>();
        assert!(links.contains(&"lo".to_owned()), "{links:?}");
        let refused = netlink.request(18, &[0; 4]).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EINVAL));
    }
}
