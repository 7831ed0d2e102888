//! Where the nodes of the trie lie: pages of a fixed size, so that growing copies nothing and leaves at most one page
//! unused, and ids instead of pointers.

/// Which node.
pub(super) type Id = u32;

const PAGE_BITS: u32 = 12;
const PAGE: usize = 1 << PAGE_BITS;

/// Values by id. Ids of removed values are used again.
#[derive(Debug)]
pub(super) struct Arena<T> {
    pages: Vec<Vec<T>>,
    free: Vec<Id>,
}

impl<T> Default for Arena<T> {
    fn default() -> Self {
        Self { pages: Vec::new(), free: Vec::new() }
    }
}

impl<T: Default> Arena<T> {
    /// Number of values.
    pub(super) fn len(&self) -> usize {
        let full = self.pages.len().saturating_sub(1) * PAGE;
        full + self.pages.last().map_or(0, Vec::len) - self.free.len()
    }

    pub(super) fn get(&self, id: Id) -> Option<&T> {
        self.pages.get((id >> PAGE_BITS) as usize)?.get(id as usize % PAGE)
    }

    pub(super) fn get_mut(&mut self, id: Id) -> Option<&mut T> {
        self.pages.get_mut((id >> PAGE_BITS) as usize)?.get_mut(id as usize % PAGE)
    }

    /// Keeps `value` and says where.
    pub(super) fn insert(&mut self, value: T) -> Id {
        if let Some(id) = self.free.pop() {
            if let Some(place) = self.get_mut(id) {
                *place = value;
            }
            return id;
        }
        if self.pages.last().is_none_or(|page| page.len() == PAGE) {
            self.pages.push(Vec::with_capacity(PAGE));
        }
        let page = self.pages.len() - 1;
        let Some(last) = self.pages.last_mut() else { return 0 };
        last.push(value);
        ((page << PAGE_BITS) + last.len() - 1) as Id
    }

    /// Takes the value away.
    pub(super) fn remove(&mut self, id: Id) -> T {
        let value = self.get_mut(id).map(std::mem::take).unwrap_or_default();
        self.free.push(id);
        value
    }
}
