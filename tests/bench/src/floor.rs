//! What a balancer of the least-request policy cannot do without: the same columns, the same generator and the same tokens, and nothing
//! else. No time, no reaping, no view, no exclusions, one policy, one outcome.

use rand::rngs::SmallRng;
use rand::{Rng as _, SeedableRng as _};

/// Picks the better of two and finishes it.
pub struct Floor {
    slots: Vec<u32>,
    seats: Vec<Seat>,
    /// As wide as a balancer's.
    tallies: Vec<[u64; 6]>,
    tickets: Vec<Ticket>,
    free: u32,
    rng: SmallRng,
}

#[derive(Clone, Copy)]
struct Seat {
    handle: u64,
    in_flight: u32,
    _weight: u32,
}

#[derive(Clone, Copy)]
struct Ticket {
    generation: u32,
    slot_or_next: u32,
}

const INDEX_BITS: u32 = 20;

impl Floor {
    /// Among so many.
    pub fn new(count: u32, seed: u64) -> Self {
        Self {
            slots: (0..count).collect(),
            seats: (0..count).map(|slot| Seat { handle: slot.into(), in_flight: 0, _weight: 1_000 }).collect(),
            tallies: vec![[0; 6]; count as usize],
            tickets: Vec::new(),
            free: u32::MAX,
            rng: SmallRng::seed_from_u64(seed),
        }
    }

    /// A handle and a token.
    #[inline]
    pub fn pick(&mut self) -> (u64, u64) {
        let bits = self.rng.next_u64();
        let scale = |half: u64, bound: usize| ((half & 0xffff_ffff) * bound as u64 >> 32) as usize;
        let first = scale(bits, self.slots.len());
        let second = scale(bits >> 32, self.slots.len() - 1);
        let (one, two) = (self.slots[first], self.slots[second + usize::from(second >= first)]);
        let is_first = self.seats[one as usize].in_flight <= self.seats[two as usize].in_flight;
        let slot = std::hint::select_unpredictable(is_first, one, two);
        let seat = &mut self.seats[slot as usize];
        seat.in_flight += 1;
        if self.free == u32::MAX {
            self.free = self.tickets.len() as u32;
            self.tickets.push(Ticket { generation: 0, slot_or_next: u32::MAX });
        }
        let index = self.free;
        let ticket = &mut self.tickets[index as usize];
        self.free = ticket.slot_or_next;
        *ticket = Ticket { generation: ticket.generation.wrapping_add(1), slot_or_next: slot };
        (seat.handle, u64::from(ticket.generation) << INDEX_BITS | u64::from(index))
    }

    /// Whether the token was good.
    #[inline]
    pub fn finish(&mut self, token: u64) -> bool {
        let index = token as u32 & ((1 << INDEX_BITS) - 1);
        let Some(ticket) = self.tickets.get_mut(index as usize).filter(|ticket| u64::from(ticket.generation) == token >> INDEX_BITS) else {
            return false;
        };
        let slot = std::mem::replace(&mut ticket.slot_or_next, self.free) as usize;
        ticket.generation = ticket.generation.wrapping_add(1);
        self.free = index;
        self.seats[slot].in_flight -= 1;
        self.tallies[slot][0] += 1;
        true
    }
}
