//! A set of paths that are taken out of a JSON document in one pass over its bytes.

use model::{Str, Value};

use super::JsonError;
use super::cursor::Cursor;
use super::shape::{Recorder, Shape, Shapes, Step as ShapeStep};
use crate::ops::{self, Step};

/// Up to this many keys of one object are compared one after the other.
const LINEAR_KEYS_MAX: usize = 8;

/// Paths, each with a slot. The union over several rules is one set: a document is then read once for all of them.
#[derive(Clone, Debug, Default)]
pub struct PathSet {
    nodes: Vec<Node>,
    paths: Vec<Box<[Step]>>,
    /// Shapes of documents read before; they hold for these paths only.
    shapes: Shapes,
}

/// What is wanted at one place of the document and below it.
#[derive(Clone, Debug, Default)]
struct Node {
    /// Sorted by key.
    keys: Vec<(Str, usize)>,
    /// Positive positions of a list.
    positions: Vec<(i64, usize)>,
    /// Slots that take the value here, after the rest of a path that only a whole value can answer (a position from
    /// the end).
    slots: Vec<(usize, Box<[Step]>)>,
}

impl Node {
    fn is_leaf(&self) -> bool {
        self.keys.is_empty() && self.positions.is_empty()
    }
}

impl PathSet {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// How many slots there are.
    pub fn len(&self) -> usize {
        self.paths.len()
    }

    /// Whether nothing is wanted.
    pub fn is_empty(&self) -> bool {
        self.paths.is_empty()
    }

    /// The paths, by slot.
    pub fn paths(&self) -> impl Iterator<Item = &[Step]> {
        self.paths.iter().map(AsRef::as_ref)
    }

    /// The slot of `path`, added when it is new.
    pub fn insert(&mut self, path: &[Step]) -> usize {
        if let Some(slot) = self.paths.iter().position(|known| known.as_ref() == path) {
            return slot;
        }
        self.shapes = Shapes::default();
        let slot = self.paths.len();
        self.paths.push(path.into());
        if self.nodes.is_empty() {
            self.nodes.push(Node::default());
        }
        let mut at = 0;
        for (done, step) in path.iter().enumerate() {
            let next = match step {
                Step::Key(key) => self.child_key(at, key),
                Step::Index(position) if *position > 0 => self.child_position(at, *position),
                Step::Index(_) => {
                    let rest = path.get(done..).unwrap_or_default().into();
                    if let Some(node) = self.nodes.get_mut(at) {
                        node.slots.push((slot, rest));
                    }
                    return slot;
                }
            };
            at = next;
        }
        if let Some(node) = self.nodes.get_mut(at) {
            node.slots.push((slot, Box::default()));
        }
        slot
    }

    fn child_key(&mut self, at: usize, key: &Str) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return 0 };
        match node.keys.binary_search_by(|(known, _)| known.as_str().cmp(key.as_str())) {
            Ok(found) => node.keys.get(found).map_or(0, |(_, child)| *child),
            Err(place) => {
                node.keys.insert(place, (key.clone(), fresh));
                self.nodes.push(Node::default());
                fresh
            }
        }
    }

    fn child_position(&mut self, at: usize, position: i64) -> usize {
        let fresh = self.nodes.len();
        let Some(node) = self.nodes.get_mut(at) else { return 0 };
        if let Some((_, child)) = node.positions.iter().find(|(known, _)| *known == position) {
            return *child;
        }
        node.positions.push((position, fresh));
        self.nodes.push(Node::default());
        fresh
    }

    /// The values at all paths, by slot; missing where the document has none. The whole document is checked.
    pub fn extract(&self, bytes: &[u8]) -> Result<Vec<Value>, JsonError> {
        let mut slots = self.slots();
        let Some(root) = self.nodes.first() else { return Ok(slots) };
        let mut cursor = Cursor::new(bytes)?;
        if let Some(slots) = self.shapes.find(|shape| self.follow(shape, &mut cursor)) {
            return Ok(slots);
        }
        cursor.rewind();
        self.walk(&mut cursor, root, &mut slots, 0)?;
        cursor.finish()?;
        if self.shapes.wants_another()
            && let Some(shape) = self.shape_of(&mut cursor)
        {
            self.shapes.learn(shape);
        }
        Ok(slots)
    }

    /// A slot for each path, nothing in it. Not `vec!`, which clones the value for each slot.
    fn slots(&self) -> Vec<Value> {
        std::iter::repeat_with(|| Value::Missing).take(self.paths.len()).collect()
    }

    /// The values of a document that follows `shape` to its end; `None` as soon as it does not.
    fn follow(&self, shape: &Shape, cursor: &mut Cursor<'_>) -> Option<Vec<Value>> {
        cursor.rewind();
        // Most shapes differ in their first piece: nothing is allocated before it has been compared.
        let mut steps = shape.0.iter();
        if let Some(ShapeStep::Literal(bytes)) = steps.as_slice().first() {
            steps.next();
            cursor.pass(bytes)?;
        }
        let mut slots = self.slots();
        for step in steps {
            match step {
                ShapeStep::Literal(bytes) => cursor.pass(bytes)?,
                ShapeStep::Value { node: None, depth } => cursor.skip(*depth).ok()?,
                ShapeStep::Value { node: Some(node), depth } => {
                    self.walk(cursor, self.nodes.get(*node)?, &mut slots, *depth).ok()?;
                }
            }
        }
        cursor.is_at_end().then_some(slots)
    }

    /// The shape of a document that has been read whole.
    fn shape_of(&self, cursor: &mut Cursor<'_>) -> Option<Shape> {
        cursor.rewind();
        let mut recorder = Recorder::default();
        self.record(cursor, Some(0), 0, &mut recorder)?;
        recorder.finish(cursor.bytes())
    }

    /// Takes objects apart that nobody wants as a whole; everything else is one value.
    fn record(&self, cursor: &mut Cursor<'_>, at: Option<usize>, depth: usize, recorder: &mut Recorder) -> Option<()> {
        let node = at.and_then(|at| self.nodes.get(at));
        if cursor.peek() == Some(b'{') && node.is_none_or(|node| node.slots.is_empty()) {
            let mut seen = Vec::new();
            let mut more = cursor.open(b'}', depth).ok()?;
            while more {
                let key = cursor.key().ok()?;
                let child = node.and_then(|node| Self::child_index(node, &key));
                // A wanted key that comes twice counts by its last value, which a shape does not express.
                if child.is_some() && seen.contains(&child) {
                    return None;
                }
                seen.push(child);
                self.record(cursor, child, depth + 1, recorder)?;
                more = cursor.another(b'}').ok()?;
            }
            return Some(());
        }
        let start = cursor.position();
        cursor.skip(depth).ok()?;
        recorder.value(cursor.bytes(), start, cursor.position(), at, depth)
    }

    /// The values at all paths below a value that is already decoded.
    pub fn extract_from(&self, value: &Value) -> Vec<Value> {
        let mut slots = self.slots();
        if let Some(root) = self.nodes.first() {
            self.fill(root, value, &mut slots);
        }
        slots
    }

    fn walk(&self, cursor: &mut Cursor<'_>, node: &Node, slots: &mut [Value], depth: usize) -> Result<(), JsonError> {
        let first = cursor.peek();
        if !node.slots.is_empty() {
            let value = cursor.value(depth)?;
            match node.slots.as_slice() {
                // One taker of exactly this value: it gets the value itself.
                [(slot, rest)] if rest.is_empty() && node.is_leaf() => {
                    if let Some(place) = slots.get_mut(*slot) {
                        *place = value;
                    }
                }
                _ => self.fill(node, &value, slots),
            }
            return Ok(());
        }
        match first {
            Some(b'{') if !node.keys.is_empty() => {
                let mut more = cursor.open(b'}', depth)?;
                while more {
                    let key = cursor.key()?;
                    match self.child_of(node, &key) {
                        Some(child) => {
                            // A key that comes again replaces everything its first value gave.
                            self.clear(child, slots);
                            self.walk(cursor, child, slots, depth + 1)?;
                        }
                        None => cursor.skip(depth + 1)?,
                    }
                    more = cursor.another(b'}')?;
                }
                Ok(())
            }
            Some(b'[') if !node.positions.is_empty() => {
                let mut position = 0;
                let mut more = cursor.open(b']', depth)?;
                while more {
                    position += 1;
                    match node.positions.iter().find(|(wanted, _)| *wanted == position) {
                        Some((_, child)) => match self.nodes.get(*child) {
                            Some(child) => self.walk(cursor, child, slots, depth + 1)?,
                            None => cursor.skip(depth + 1)?,
                        },
                        None => cursor.skip(depth + 1)?,
                    }
                    more = cursor.another(b']')?;
                }
                Ok(())
            }
            Some(b'"') if !node.is_leaf() => {
                let text = cursor.string()?;
                if let Some(inner) = ops::decode_text(&text) {
                    self.fill(node, &inner, slots);
                }
                Ok(())
            }
            _ => cursor.skip(depth),
        }
    }

    fn child_of(&self, node: &Node, key: &str) -> Option<&Node> {
        self.nodes.get(Self::child_index(node, key)?)
    }

    fn child_index(node: &Node, key: &str) -> Option<usize> {
        // For a few keys comparing lengths and bytes in turn beats a search by order.
        if node.keys.len() <= LINEAR_KEYS_MAX {
            return Some(node.keys.iter().find(|(known, _)| known.as_bytes() == key.as_bytes())?.1);
        }
        let place = node.keys.binary_search_by(|(known, _)| known.as_str().cmp(key)).ok()?;
        Some(node.keys.get(place)?.1)
    }

    fn clear(&self, node: &Node, slots: &mut [Value]) {
        for (slot, _) in &node.slots {
            if let Some(value) = slots.get_mut(*slot) {
                *value = Value::Missing;
            }
        }
        let children = node.keys.iter().map(|(_, child)| child).chain(node.positions.iter().map(|(_, child)| child));
        for child in children.filter_map(|child| self.nodes.get(*child)) {
            self.clear(child, slots);
        }
    }

    fn fill(&self, node: &Node, value: &Value, slots: &mut [Value]) {
        for (slot, rest) in &node.slots {
            if let Some(place) = slots.get_mut(*slot) {
                *place = ops::get_path(value, rest);
            }
        }
        if node.is_leaf() {
            return;
        }
        // Text is decoded once for all the steps below it.
        let decoded;
        let value = match value {
            Value::Text(text) => {
                decoded = ops::decode_text(text).unwrap_or(Value::Missing);
                &decoded
            }
            other => other,
        };
        for (key, child) in &node.keys {
            if let Some(child) = self.nodes.get(*child) {
                self.fill(child, &ops::get(value, &Step::Key(key.clone())), slots);
            }
        }
        for (position, child) in &node.positions {
            if let Some(child) = self.nodes.get(*child) {
                self.fill(child, &ops::get(value, &Step::Index(*position)), slots);
            }
        }
    }
}
