//! The slab arena: blocks in 8-byte steps, addressed by 32-bit references, with exact accounting.
//!
//! One owner (a shard's database, a large collection) allocates and frees under its own lock, so
//! there is no atomic, no per-block header and no cross-thread free. Because only the owner's table
//! points at a block, blocks can be moved: see [`Arena::begin_compaction`].
//!
//! ```text
//! reference (u32)   0 .. 2^31   granule number: byte address / 8 within the arena
//!                   2^31 ..     index into `large` (blocks above LARGE_MIN bytes)
//!
//! address space     chunk 0: 64 KB of 512-byte pages      chunk 1..: 64 KB of 4-KB pages each
//! page              blocks of one size class; a free block's first 2 bytes hold the index of the
//!                   next free block of the page (0xFFFF: none); blocks never used lie above `bump`
//! ```
//!
//! The small pages of chunk 0 keep a collection of a hundred elements in a dozen sizes from holding
//! a 4-KB page for each size. A chunk's backing store grows by doubling while it is the last one
//! of a small arena; references survive that, since they are offsets.
//!
//! Invariants: every page belongs to one class; a page with a free block and not being evacuated is
//! in its class' list; `live` is the sum of the class sizes of live blocks. Costs: O(1) for all but
//! compaction. Capacity: 16 GiB of small blocks and 2^31 large ones; beyond that `alloc` panics,
//! which the keyspace prevents by its share of maxmemory per shard.
//!
//! There is no unsafe here: a reference that was freed reads stale bytes of this arena, never
//! memory outside it.

use ochre_base::memory;

/// Bytes of a granule: the unit of references and of size classes.
const GRANULE: usize = 8;
/// Bytes of a chunk, the unit in which memory is taken and given back.
const CHUNK: usize = 64 * 1024;
const CHUNK_GRANULES: u32 = (CHUNK / GRANULE) as u32;
const CHUNK_SHIFT: u32 = CHUNK_GRANULES.trailing_zeros();
/// Pages of chunk 0, and of the others.
const SMALL_PAGE: usize = 512;
const PAGE: usize = 4096;
const SMALL_PAGES: u32 = (CHUNK / SMALL_PAGE) as u32;
const PAGES: u32 = (CHUNK / PAGE) as u32;
/// Largest class that may use the small pages: at least four blocks to a page.
const SMALL_PAGE_CLASS_MAX: usize = 128;
/// Blocks above this many bytes get an allocation of their own: half a page.
const LARGE_MIN: usize = 2048;
/// References from here on are indices of large blocks.
const LARGE_TAG: u32 = 1 << 31;
/// "No block" and "no page".
const NO_BLOCK: u16 = u16::MAX;
const NO_PAGE: u32 = u32::MAX;
/// 8-byte steps to 128, 16 to 256, 32 to 512, 64 to 1024, 128 to 2048: at most 12.5 % slack above
/// 128 bytes.
const CLASSES: usize = 16 + 8 * 4;

/// The address of a block in its arena.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash, PartialOrd, Ord)]
pub struct Ref(u32);

impl Ref {
    /// The reference whose [`Ref::raw`] was `raw`.
    #[inline]
    pub const fn from_raw(raw: u32) -> Self {
        Self(raw)
    }

    /// The reference as the number a table stores.
    #[inline]
    pub const fn raw(self) -> u32 {
        self.0
    }
}

#[derive(Clone, Copy)]
struct PageMeta {
    /// Size class; meaningless while `live` is 0 and the page is in its chunk's free mask.
    class: u8,
    /// Being emptied by a compaction: never allocated from.
    evacuating: bool,
    live: u16,
    free_head: u16,
    /// Blocks handed out at least once; `0 <= bump <= blocks of the page`.
    bump: u16,
    next: u32,
    prev: u32,
}

const UNUSED_PAGE: PageMeta = PageMeta {
    class: 0,
    evacuating: false,
    live: 0,
    free_head: NO_BLOCK,
    bump: 0,
    next: NO_PAGE,
    prev: NO_PAGE,
};

/// Blocks in 8-byte steps. See the module's head.
pub struct Arena {
    chunks: Vec<Vec<u8>>,
    /// For each chunk, a bit for each page that belongs to no class.
    free_pages: Vec<u128>,
    pages: Vec<PageMeta>,
    /// For each class the first page with room.
    partial: Vec<u32>,
    /// Chunks above 0 that may have a free page: a stack with possible stale entries.
    roomy: Vec<u32>,
    large: Vec<Box<[u8]>>,
    large_free: Vec<u32>,
    live: usize,
    held: usize,
}

#[inline]
const fn class_of(size: usize) -> usize {
    if size <= 128 {
        return size.div_ceil(8).saturating_sub(1);
    }
    let top = usize::BITS - (size - 1).leading_zeros() - 1;
    let step = top - 3;
    16 + (top as usize - 7) * 8 + (((size - 1) >> step) - 8)
}

#[inline]
const fn class_size(class: usize) -> usize {
    if class < 16 {
        return (class + 1) * 8;
    }
    let doubling = (class - 16) / 8;
    let step = (class - 16) % 8;
    (128 << doubling) + (step + 1) * (16 << doubling)
}

#[inline]
const fn page_of(granule: u32) -> (u32, u32) {
    if granule < CHUNK_GRANULES {
        let shift = (SMALL_PAGE / GRANULE).trailing_zeros();
        (granule >> shift, granule & ((1 << shift) - 1))
    } else {
        let shift = (PAGE / GRANULE).trailing_zeros();
        let rest = granule - CHUNK_GRANULES;
        (SMALL_PAGES + (rest >> shift), rest & ((1 << shift) - 1))
    }
}

#[inline]
const fn page_start(page: u32) -> u32 {
    if page < SMALL_PAGES {
        page * (SMALL_PAGE / GRANULE) as u32
    } else {
        CHUNK_GRANULES + (page - SMALL_PAGES) * (PAGE / GRANULE) as u32
    }
}

#[inline]
const fn chunk_of_page(page: u32) -> u32 {
    if page < SMALL_PAGES { 0 } else { 1 + (page - SMALL_PAGES) / PAGES }
}

#[inline]
const fn page_bytes(page: u32) -> usize {
    if page < SMALL_PAGES { SMALL_PAGE } else { PAGE }
}

impl Default for Arena {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Arena {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Arena").field("live", &self.live).field("held", &self.held).finish()
    }
}

impl Arena {
    /// An arena that holds no memory.
    pub const fn new() -> Self {
        Self {
            chunks: Vec::new(),
            free_pages: Vec::new(),
            pages: Vec::new(),
            partial: Vec::new(),
            roomy: Vec::new(),
            large: Vec::new(),
            large_free: Vec::new(),
            live: 0,
            held: 0,
        }
    }

    /// The bytes that a block asked for with `size` really has: it may grow in place up to them.
    #[inline]
    pub const fn usable(size: usize) -> usize {
        if size > LARGE_MIN { size } else { class_size(class_of(size)) }
    }

    /// A block of at least `size` bytes (at least 1), of unspecified content. O(1).
    #[inline]
    pub fn alloc(&mut self, size: usize) -> Ref {
        if size > LARGE_MIN {
            return self.alloc_large(size);
        }
        let class = class_of(size);
        let page = match self.partial.get(class) {
            Some(&page) if page != NO_PAGE => page,
            _ => self.add_page(class),
        };
        let bytes = class_size(class);
        self.live += bytes;
        memory::add(bytes);
        let start = page_start(page);
        let granules = (bytes / GRANULE) as u32;
        let meta = &mut self.pages[page as usize];
        meta.live += 1;
        let granule = if meta.free_head == NO_BLOCK {
            let index = meta.bump;
            meta.bump += 1;
            start + u32::from(index) * granules
        } else {
            let granule = start + u32::from(meta.free_head) * granules;
            let chunk = &self.chunks[(granule >> CHUNK_SHIFT) as usize];
            let at = (granule & (CHUNK_GRANULES - 1)) as usize * GRANULE;
            meta.free_head = u16::from_le_bytes([chunk[at], chunk[at + 1]]);
            granule
        };
        if meta.free_head == NO_BLOCK && usize::from(meta.bump) == page_bytes(page) / bytes {
            self.unlink(page, class);
        }
        Ref(granule)
    }

    /// Gives back the block `r`, which was asked for with `size` (or another size of its class).
    #[inline]
    pub fn free(&mut self, r: Ref, size: usize) {
        if r.0 >= LARGE_TAG {
            self.free_large(r.0 - LARGE_TAG);
            return;
        }
        let class = class_of(size);
        let bytes = class_size(class);
        self.live -= bytes;
        memory::sub(bytes);
        let (page, within) = page_of(r.0);
        let index = within / (bytes / GRANULE) as u32;
        let at = (r.0 & (CHUNK_GRANULES - 1)) as usize * GRANULE;
        let meta = &mut self.pages[page as usize];
        debug_assert_eq!(usize::from(meta.class), class, "freed with a size of another class");
        let chunk = &mut self.chunks[(r.0 >> CHUNK_SHIFT) as usize];
        chunk[at..at + 2].copy_from_slice(&meta.free_head.to_le_bytes());
        let was_full =
            meta.free_head == NO_BLOCK && usize::from(meta.bump) == page_bytes(page) / bytes;
        meta.free_head = index as u16;
        meta.live -= 1;
        let (empty, evacuating) = (meta.live == 0, meta.evacuating);
        if empty {
            if !was_full && !evacuating {
                self.unlink(page, class);
            }
            self.release_page(page);
            if self.live == 0 {
                // The last block of all: the book-keeping goes too.
                *self = Self::new();
            }
        } else if was_full && !evacuating {
            self.link(page, class);
        }
    }

    /// The bytes from the block's start to at least its end. The caller cuts by its own header.
    #[inline]
    pub fn bytes(&self, r: Ref) -> &[u8] {
        if r.0 >= LARGE_TAG {
            return &self.large[(r.0 - LARGE_TAG) as usize];
        }
        let at = (r.0 & (CHUNK_GRANULES - 1)) as usize * GRANULE;
        &self.chunks[(r.0 >> CHUNK_SHIFT) as usize][at..]
    }

    /// The same, for writing. Only the block's own bytes may be changed.
    #[inline]
    pub fn bytes_mut(&mut self, r: Ref) -> &mut [u8] {
        if r.0 >= LARGE_TAG {
            return &mut self.large[(r.0 - LARGE_TAG) as usize];
        }
        let at = (r.0 & (CHUNK_GRANULES - 1)) as usize * GRANULE;
        &mut self.chunks[(r.0 >> CHUNK_SHIFT) as usize][at..]
    }

    /// Heap bytes held, book-keeping included.
    pub fn held_bytes(&self) -> usize {
        self.held
            + self.pages.capacity() * size_of::<PageMeta>()
            + self.chunks.capacity() * (size_of::<Vec<u8>>() + size_of::<u128>())
            + self.partial.capacity() * 4
            + self.large.capacity() * size_of::<Box<[u8]>>()
    }

    /// Bytes of the live blocks, rounded up to their classes.
    #[inline]
    pub fn live_bytes(&self) -> usize {
        self.live
    }

    /// Marks the sparsest chunks for emptying, if at least a third of the held memory would come
    /// back; true when there is something to do. The owner then passes every block that
    /// [`Arena::should_move`] names through a fresh `alloc`, copy and `free`, at its own pace, and
    /// ends with [`Arena::end_compaction`]. Blocks allocated meanwhile never land in marked chunks.
    pub fn begin_compaction(&mut self) -> bool {
        let count = self.chunks.len();
        if count < 3 || self.held < 2 * CHUNK {
            return false;
        }
        let mut live = vec![0usize; count];
        let mut small = 0;
        for (page, meta) in self.pages.iter().enumerate() {
            let bytes = usize::from(meta.live) * class_size(usize::from(meta.class));
            live[chunk_of_page(page as u32) as usize] += bytes;
            small += bytes;
        }
        let held: usize = self.chunks.iter().map(Vec::len).sum();
        if small * 3 > held * 2 {
            return false;
        }
        let mut order: Vec<usize> =
            (1..count).filter(|&chunk| !self.chunks[chunk].is_empty()).collect();
        order.sort_unstable_by_key(|&chunk| live[chunk]);
        // Keep one and a quarter times the room that the blocks need, for the classes' slack.
        let mut keep = held;
        for chunk in order {
            if keep < small + small / 4 + 2 * CHUNK {
                break;
            }
            keep -= self.chunks[chunk].len();
            self.mark_chunk(chunk as u32);
        }
        true
    }

    /// Whether `r` lies in a chunk that a compaction is emptying.
    #[inline]
    pub fn should_move(&self, r: Ref) -> bool {
        r.0 < LARGE_TAG && self.pages[page_of(r.0).0 as usize].evacuating
    }

    /// Ends a compaction: chunks that are not empty yet go back to normal use.
    pub fn end_compaction(&mut self) {
        for page in 0..self.pages.len() as u32 {
            if !self.pages[page as usize].evacuating {
                continue;
            }
            self.pages[page as usize].evacuating = false;
            let meta = self.pages[page as usize];
            if meta.live == 0 {
                self.release_page(page);
                continue;
            }
            let class = usize::from(meta.class);
            let full = meta.free_head == NO_BLOCK
                && usize::from(meta.bump) == page_bytes(page) / class_size(class);
            if !full {
                self.link(page, class);
            }
        }
    }

    fn mark_chunk(&mut self, chunk: u32) {
        let first = SMALL_PAGES + (chunk - 1) * PAGES;
        for page in first..first + PAGES {
            let meta = self.pages[page as usize];
            self.pages[page as usize].evacuating = true;
            if meta.live == 0 {
                continue;
            }
            let class = usize::from(meta.class);
            let full = meta.free_head == NO_BLOCK
                && usize::from(meta.bump) == page_bytes(page) / class_size(class);
            if !full {
                self.unlink(page, class);
            }
        }
        // Its free pages are not to be handed out either.
        self.free_pages[chunk as usize] = 0;
    }

    #[cold]
    fn alloc_large(&mut self, size: usize) -> Ref {
        let block = vec![0u8; size].into_boxed_slice();
        self.live += size;
        self.held += size;
        let index = match self.large_free.pop() {
            Some(index) => {
                self.large[index as usize] = block;
                index
            }
            None => {
                self.large.push(block);
                (self.large.len() - 1) as u32
            }
        };
        assert!(index < LARGE_TAG, "more than 2^31 large blocks in one arena");
        Ref(LARGE_TAG + index)
    }

    #[cold]
    fn free_large(&mut self, index: u32) {
        let block = std::mem::take(&mut self.large[index as usize]);
        self.live -= block.len();
        self.held -= block.len();
        self.large_free.push(index);
        if self.large_free.len() == self.large.len() {
            self.large = Vec::new();
            self.large_free = Vec::new();
        }
    }

    /// Gives `class` a page, and makes it the first with room.
    #[cold]
    fn add_page(&mut self, class: usize) -> u32 {
        if self.partial.is_empty() {
            self.partial = vec![NO_PAGE; CLASSES];
        }
        let page = self.take_page(class_size(class) <= SMALL_PAGE_CLASS_MAX);
        self.pages[page as usize] = PageMeta { class: class as u8, ..UNUSED_PAGE };
        self.link(page, class);
        page
    }

    fn take_page(&mut self, small_allowed: bool) -> u32 {
        if self.chunks.is_empty() {
            self.add_chunk();
        }
        if small_allowed && self.free_pages[0] != 0 {
            return self.take_page_of(0);
        }
        while let Some(&chunk) = self.roomy.last() {
            if self.free_pages[chunk as usize] != 0 {
                return self.take_page_of(chunk);
            }
            self.roomy.pop();
        }
        let chunk = match (1..self.chunks.len()).find(|&c| self.is_given_back(c)) {
            Some(chunk) => {
                let first = (SMALL_PAGES + (chunk as u32 - 1) * PAGES) as usize;
                self.pages[first..first + PAGES as usize].fill(UNUSED_PAGE);
                self.free_pages[chunk] = (1 << PAGES) - 1;
                chunk as u32
            }
            None => self.add_chunk(),
        };
        self.roomy.push(chunk);
        self.take_page_of(chunk)
    }

    fn is_given_back(&self, chunk: usize) -> bool {
        self.chunks[chunk].is_empty() && self.free_pages[chunk] == 0
    }

    /// A new chunk's address range; its bytes come with the pages. The first call makes chunk 0.
    fn add_chunk(&mut self) -> u32 {
        let chunk = self.chunks.len() as u32;
        assert!(chunk < LARGE_TAG >> CHUNK_SHIFT, "an arena holds at most 16 GiB of small blocks");
        let pages = if chunk == 0 { SMALL_PAGES } else { PAGES };
        self.chunks.push(Vec::new());
        self.free_pages.push(if pages == 128 { u128::MAX } else { (1 << pages) - 1 });
        self.pages.resize(self.pages.len() + pages as usize, UNUSED_PAGE);
        chunk
    }

    fn take_page_of(&mut self, chunk: u32) -> u32 {
        let bit = self.free_pages[chunk as usize].trailing_zeros();
        self.free_pages[chunk as usize] &= !(1 << bit);
        let (page, bytes) = if chunk == 0 {
            (bit, SMALL_PAGE)
        } else {
            (SMALL_PAGES + (chunk - 1) * PAGES + bit, PAGE)
        };
        self.back(chunk as usize, (bit as usize + 1) * bytes);
        page
    }

    /// Makes sure that the first `bytes` of a chunk have memory behind them.
    fn back(&mut self, chunk: usize, bytes: usize) {
        let have = self.chunks[chunk].len();
        if have >= bytes {
            return;
        }
        // A large arena takes whole chunks; a small one doubles, to hold little more than it needs.
        let want = if self.held >= 2 * CHUNK { CHUNK } else { bytes.max(2 * have).min(CHUNK) };
        let mut fresh = vec![0u8; want];
        fresh[..have].copy_from_slice(&self.chunks[chunk]);
        self.chunks[chunk] = fresh;
        self.held += want - have;
        memory::sub(want - have);
    }

    /// A page without live blocks goes back to its chunk, and the last one of a chunk gives the
    /// chunk's memory back.
    fn release_page(&mut self, page: u32) {
        let chunk = chunk_of_page(page);
        let evacuating = self.pages[page as usize].evacuating;
        self.pages[page as usize] = PageMeta { evacuating, ..UNUSED_PAGE };
        let first = if chunk == 0 { 0 } else { SMALL_PAGES + (chunk - 1) * PAGES };
        if !evacuating {
            if self.free_pages[chunk as usize] == 0 && chunk != 0 {
                self.roomy.push(chunk);
            }
            self.free_pages[chunk as usize] |= 1 << (page - first);
        }
        let pages = if chunk == 0 { SMALL_PAGES } else { PAGES };
        let all = &self.pages[first as usize..(first + pages) as usize];
        let full_mask = if pages == 128 { u128::MAX } else { (1u128 << pages) - 1 };
        let empty = if evacuating {
            all.iter().all(|meta| meta.live == 0)
        } else {
            self.free_pages[chunk as usize] == full_mask
        };
        if empty {
            let bytes = std::mem::take(&mut self.chunks[chunk as usize]).len();
            self.held -= bytes;
            memory::add(bytes);
            if chunk != 0 {
                self.free_pages[chunk as usize] = 0;
            }
        }
    }

    fn link(&mut self, page: u32, class: usize) {
        let head = self.partial[class];
        self.pages[page as usize].next = head;
        self.pages[page as usize].prev = NO_PAGE;
        if head != NO_PAGE {
            self.pages[head as usize].prev = page;
        }
        self.partial[class] = page;
    }

    fn unlink(&mut self, page: u32, class: usize) {
        let PageMeta { next, prev, .. } = self.pages[page as usize];
        if prev == NO_PAGE {
            self.partial[class] = next;
        } else {
            self.pages[prev as usize].next = next;
        }
        if next != NO_PAGE {
            self.pages[next as usize].prev = prev;
        }
    }
}

impl Drop for Arena {
    fn drop(&mut self) {
        // The allocator takes the whole chunks off the count; their free part was off it already.
        let chunks: usize = self.chunks.iter().map(Vec::len).sum();
        let large: usize = self.large.iter().map(|block| block.len()).sum();
        memory::add(chunks - (self.live - large));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ochre_base::rng::Rng;

    #[test]
    fn classes_cover_their_sizes_tightly() {
        for size in (1..=LARGE_MIN).step_by(if cfg!(miri) { 37 } else { 1 }) {
            let class = class_of(size);
            assert!(class < CLASSES);
            assert!(class_size(class) >= size, "{size}");
            assert!(class == 0 || class_size(class - 1) < size, "{size}");
            assert_eq!(class_size(class) % GRANULE, 0);
        }
        assert_eq!(Arena::usable(54), 56);
        assert_eq!(Arena::usable(5000), 5000);
    }

    /// A model: every block keeps the bytes written to it, whatever else is allocated, freed and
    /// moved; live bytes are exact; all memory comes back.
    #[test]
    fn blocks_keep_their_bytes() {
        for seed in 0..if cfg!(miri) { 2 } else { 6 } {
            let mut rng = Rng::new(seed);
            let mut arena = Arena::new();
            let mut blocks: Vec<(Ref, usize, u8)> = Vec::new();
            let rounds = if cfg!(miri) { 160 } else { 40_000 };
            let (mut live, top) = (0, [40, 200, 700, 3000][seed as usize % 4]);
            for round in 0..rounds {
                let grow = (round / (rounds / 8)) % 2 == 0;
                if blocks.is_empty() || rng.below(10) < if grow { 8 } else { 2 } {
                    let size = 1 + rng.below(top) as usize;
                    let r = arena.alloc(size);
                    let fill = rng.next_u64() as u8;
                    arena.bytes_mut(r)[..size].fill(fill);
                    live += Arena::usable(size);
                    blocks.push((r, size, fill));
                } else {
                    let at = rng.below(blocks.len() as u64) as usize;
                    let (r, size, fill) = blocks.swap_remove(at);
                    assert!(arena.bytes(r)[..size].iter().all(|&b| b == fill));
                    arena.free(r, size);
                    live -= Arena::usable(size);
                }
                assert_eq!(arena.live_bytes(), live);
                if round % 5000 == 4999 && arena.begin_compaction() {
                    for block in &mut blocks {
                        if arena.should_move(block.0) && rng.below(20) > 0 {
                            let to = arena.alloc(block.1);
                            assert!(!arena.should_move(to));
                            arena.bytes_mut(to)[..block.1].fill(block.2);
                            arena.free(block.0, block.1);
                            block.0 = to;
                        }
                    }
                    arena.end_compaction();
                }
            }
            for (r, size, fill) in blocks.drain(..) {
                assert!(arena.bytes(r)[..size].iter().all(|&b| b == fill));
                arena.free(r, size);
            }
            assert_eq!((arena.live_bytes(), arena.held), (0, 0));
        }
    }

    #[test]
    fn compaction_gives_sparse_memory_back() {
        let mut arena = Arena::new();
        let count = if cfg!(miri) { 4_000 } else { 60_000 };
        let mut blocks: Vec<Ref> = (0..count).map(|_| arena.alloc(56)).collect();
        let mut rng = Rng::new(1);
        blocks.retain(|&r| {
            let keep = rng.below(10) == 0;
            if !keep {
                arena.free(r, 56);
            }
            keep
        });
        let before = arena.held;
        assert!(arena.begin_compaction());
        for r in &mut blocks {
            if arena.should_move(*r) {
                let to = arena.alloc(56);
                arena.free(*r, 56);
                *r = to;
            }
        }
        arena.end_compaction();
        assert!(arena.held <= before / 2, "{} of {before}", arena.held);
        assert!(arena.held < arena.live_bytes() * 2 + 4 * CHUNK);
    }

    #[test]
    fn a_small_arena_holds_little_more_than_it_needs() {
        let mut arena = Arena::new();
        for size in 0..130 {
            arena.alloc(8 + size % 32);
        }
        assert!(arena.held < 3 * arena.live_bytes(), "{} {}", arena.held, arena.live_bytes());
    }
}
