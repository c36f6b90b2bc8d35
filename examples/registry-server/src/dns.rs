//! DNS over UDP and TCP on one port (RFC 1035, 7766).

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use crate::PATIENCE;
use crate::board::Board;

/// Connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 256;

pub struct Sockets {
    udp: UdpSocket,
    tcp: TcpListener,
}

impl Sockets {
    pub async fn bind(address: &str) -> io::Result<Self> {
        let tcp = TcpListener::bind(address).await?;
        // Port 0 is the one that was found.
        Ok(Self { udp: UdpSocket::bind(tcp.local_addr()?).await?, tcp })
    }

    pub fn address(&self) -> io::Result<SocketAddr> {
        self.tcp.local_addr()
    }

    pub async fn serve(self, board: Arc<Board>) {
        tokio::join!(datagrams(self.udp, &board), connections(self.tcp, &board));
    }
}

async fn datagrams(socket: UdpSocket, board: &Board) {
    let mut bytes = [0; 4_096];
    loop {
        // An error is about a datagram of before, which somebody did not take.
        let Ok((length, peer)) = socket.recv_from(&mut bytes).await else { continue };
        if let Some(answer) = board.answer_dns(&bytes[..length], true) {
            let _ = socket.send_to(&answer, peer).await;
        }
    }
}

async fn connections(listener: TcpListener, board: &Arc<Board>) {
    let free = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&free).acquire_owned().await else { return };
        let Ok((stream, _)) = listener.accept().await else { continue };
        let board = Arc::clone(board);
        tokio::spawn(async move {
            // Whoever hangs up or falls silent has had its answers.
            let _ = connection(stream, &board).await;
            drop(place);
        });
    }
}

/// Messages, each with its length before it, until the other side has no more.
async fn connection(mut stream: TcpStream, board: &Board) -> io::Result<()> {
    loop {
        let length = timeout(PATIENCE, stream.read_u16()).await??;
        let mut message = vec![0; length.into()];
        timeout(PATIENCE, stream.read_exact(&mut message)).await??;
        let Some(answer) = board.answer_dns(&message, false) else { return Ok(()) };
        let mut framed = u16::try_from(answer.len()).map_err(io::Error::other)?.to_be_bytes().to_vec();
        framed.extend(answer);
        timeout(PATIENCE, stream.write_all(&framed)).await??;
    }
}
