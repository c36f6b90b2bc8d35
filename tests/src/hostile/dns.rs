//! DNS over UDP and TCP.

use std::io::{Read as _, Write as _};
use std::net::UdpSocket;
use std::time::Duration;

use super::{Lane, PATIENCE, connect};

/// A question for `nobody.service.consul`, SRV, with EDNS.
const TRUE: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x01\x06nobody\x07service\x06consul\x00\x00\x21\x00\x01\x00\x00\x29\x10\x00\x00\x00\x00\x00\x00\x00";

/// A socket to ask from.
pub struct Names(UdpSocket);

impl Lane<'_> {
    pub(super) fn ask_names(&mut self) -> Result<u64, String> {
        let Some(address) = self.server.dns else { return Ok(0) };
        if self.dice.percent(20) {
            return self.ask_names_in_a_stream();
        }
        if self.names.is_none() {
            let socket = UdpSocket::bind("127.0.0.1:0").and_then(|socket| socket.connect(address).map(|()| socket));
            let socket = socket.map_err(|error| error.to_string())?;
            socket.set_read_timeout(Some(Duration::from_millis(200))).map_err(|error| error.to_string())?;
            self.names = Some(Names(socket));
        }
        let messages: Vec<_> = (0..16).map(|_| self.message()).collect();
        let Some(Names(socket)) = &self.names else { return Ok(0) };
        for message in &messages {
            drop(socket.send(message));
        }
        // Datagrams may be lost, but not all of them.
        let mut told = [0; 4_096];
        for number in 0..=u8::MAX {
            let question = [&[0xab, number], &TRUE[2..]].concat();
            drop(socket.send(&question));
            while let Ok(length) = socket.recv(&mut told) {
                self.answered += 1;
                if length >= 12 && told[..2] == question[..2] {
                    return Ok(messages.len() as u64);
                }
            }
        }
        Err("no true question of DNS is answered any more".into())
    }

    /// Lengths that are true or not, then a true question on a connection of its own.
    fn ask_names_in_a_stream(&mut self) -> Result<u64, String> {
        let Some(address) = self.server.dns else { return Ok(0) };
        let mut stream = connect(address)?;
        let count = self.dice.below(8) + 1;
        let mut bytes = Vec::new();
        for _ in 0..count {
            let message = self.message();
            let length = if self.dice.percent(80) { message.len() as u16 } else { self.dice.below(65_536) as u16 };
            bytes.extend(length.to_be_bytes());
            bytes.extend(message);
        }
        drop(stream.write_all(&bytes));
        if self.dice.percent(50) {
            drop(stream.set_read_timeout(Some(Duration::from_millis(1))));
            let mut told = [0; 4_096];
            while stream.read(&mut told).is_ok_and(|length| length > 0) {}
        }
        let mut stream = connect(address)?;
        let question = [&(TRUE.len() as u16).to_be_bytes()[..], TRUE].concat();
        let mut head = [0; 4];
        let answered = stream.write_all(&question).and_then(|()| stream.read_exact(&mut head));
        answered.map_err(|error| format!("no answer of DNS over TCP within {PATIENCE:?}: {error}"))?;
        self.answered += 1;
        if head[2..] == TRUE[..2] { Ok(count) } else { Err("DNS over TCP answers another question".into()) }
    }

    fn message(&mut self) -> Vec<u8> {
        let mut bytes = TRUE.to_vec();
        for _ in 0..=self.dice.below(4) {
            let at = self.dice.below(bytes.len() as u64 + 1) as usize;
            match self.dice.below(4) {
                0 => bytes.truncate(at),
                1 if at < bytes.len() => bytes[at] = self.dice.below(256) as u8,
                // A name that points to itself, or nowhere.
                2 => drop(bytes.splice(at..at, [0xc0, self.dice.below(256) as u8])),
                _ => bytes.extend((0..self.dice.below(600)).map(|_| self.dice.below(256) as u8)),
            }
        }
        bytes
    }
}
