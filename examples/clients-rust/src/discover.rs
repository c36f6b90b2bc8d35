//! tower's `Discover`: the instances that match a query, as services that come and go.

use std::collections::{HashMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use callboard::Error;
use callboard::model::{Handle, Instance};
use callboard::query::Query;
use callboard::registry::View;
use futures_core::Stream;
use tower::discover::Change;

use crate::board::Board;

/// A stream of the changes of a view; `connect` makes the service of an instance that came, or that moved to another address.
pub struct Instances<F, S> {
    board: Arc<Board>,
    view: View,
    connect: F,
    places: HashMap<Handle, Option<String>>,
    changes: VecDeque<Change<Handle, S>>,
}

impl<F: FnMut(&Instance) -> S, S> Instances<F, S> {
    /// # Errors
    /// Those of [`View::new`].
    pub fn new(board: Arc<Board>, query: Query, connect: F) -> Result<Self, Error> {
        Ok(Self { view: View::new(query)?, board, connect, places: HashMap::new(), changes: VecDeque::new() })
    }

    fn follow(&mut self) {
        let registry = self.board.registry();
        let Some(delta) = self.view.poll(&registry) else { return };
        let handles = delta.added.into_iter().chain(delta.updated);
        let came: Vec<_> = handles.filter_map(|handle| Some((handle, registry.instance(handle)?))).collect();
        drop(registry);
        for gone in delta.removed {
            self.places.remove(&gone.handle);
            self.changes.push_back(Change::Remove(gone.handle));
        }
        for (handle, instance) in came {
            let place = instance.url();
            // Another weight is no reason for another connection.
            if self.places.get(&handle) != Some(&place) {
                self.places.insert(handle, place);
                self.changes.push_back(Change::Insert(handle, (self.connect)(&instance)));
            }
        }
    }
}

impl<F: FnMut(&Instance) -> S + Unpin, S: Unpin> Stream for Instances<F, S> {
    type Item = Result<Change<Handle, S>, Infallible>;

    fn poll_next(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        if self.changes.is_empty() {
            // First, so that no change falls between the two.
            self.board.wake(context.waker());
            self.follow();
        }
        self.changes.pop_front().map_or(Poll::Pending, |change| Poll::Ready(Some(Ok(change))))
    }
}
