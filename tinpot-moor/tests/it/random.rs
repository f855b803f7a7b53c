//! 100,000 random values: wire, JSON and back without a changed byte.

use tinpot_moor::{
    Dialect, ErrorCode, ErrorValue, Flyweight, FromWorker, FromWorkerBody, Obj, Sender, Var,
};
use uuid::Uuid;

/// A generator of numbers (splitmix64), so that a failure can be repeated.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ self.0 >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }

    fn text(&mut self) -> String {
        let pieces = ["", "a", "$int", "E_PERM", "\"\\", "\u{0}\u{1f}", "ü😀", "\u{2028}", "#1"];
        (0..self.below(3)).map(|_| pieces[self.below(9) as usize]).collect()
    }

    fn int(&mut self) -> i64 {
        let edges = [0, -1, i64::MIN, i64::MAX, 1 << 53, (1 << 53) - 1, -(1 << 53)];
        match self.below(3) {
            0 => edges[self.below(7) as usize],
            1 => self.next() as i64,
            _ => self.below(100) as i64 - 50,
        }
    }

    fn float(&mut self) -> f64 {
        let edges = [0.0, -0.0, 1.0, 1e21, f64::MIN_POSITIVE, f64::INFINITY, f64::NEG_INFINITY];
        match self.below(3) {
            0 => edges[self.below(7) as usize],
            1 => self.below(1000) as f64 / 8.0,
            // One NaN stands for all: its bits have no meaning.
            _ => match f64::from_bits(self.next()) {
                value if value.is_nan() => f64::NAN,
                value => value,
            },
        }
    }

    fn obj(&mut self) -> Obj {
        match self.below(3) {
            0 => Obj::Id(self.next() as i32),
            1 => Obj::Uu(self.next()),
            _ => Obj::Anonymous(self.next()),
        }
    }

    fn list(&mut self, depth: u64) -> Vec<Var> {
        (0..self.below(4)).map(|_| self.var(depth + 1)).collect()
    }

    fn var(&mut self, depth: u64) -> Var {
        let kinds = if depth < 5 { 14 } else { 10 };
        match self.below(kinds) {
            0 => Var::None,
            1 => Var::Bool(self.below(2) == 0),
            2 | 3 => Var::Int(self.int()),
            4 => Var::Float(self.float()),
            5 => Var::Str(self.text()),
            6 => Var::Obj(self.obj()),
            7 => Var::Sym(self.text()),
            8 => Var::Binary((0..self.below(5)).map(|_| self.next() as u8).collect()),
            9 => Var::Anonymous(self.obj()),
            10 => Var::List(self.list(depth)),
            11 => {
                let pairs = 0..self.below(4);
                Var::Map(pairs.map(|_| (self.var(depth + 2), self.var(depth + 1))).collect())
            }
            12 => {
                let mut error = ErrorValue::new(match self.below(2) {
                    0 => ErrorCode::BuiltIn(self.below(19) as u8),
                    _ => ErrorCode::Custom(self.text()),
                });
                error.message = (self.below(2) == 0).then(|| self.text());
                error.value = (self.below(2) == 0).then(|| self.var(depth + 1));
                Var::Err(Box::new(error))
            }
            _ => {
                let mut flyweight = Flyweight::new(self.obj());
                flyweight.contents = self.list(depth);
                let slots = 0..self.below(3);
                flyweight.slots = slots.map(|_| (self.text(), self.var(depth + 1))).collect();
                Var::Flyweight(Box::new(flyweight))
            }
        }
    }
}

#[test]
fn a_hundred_thousand_values_survive_the_wire_and_json() {
    let mut random = Random(1);
    let mut kinds = [0; 14];
    for round in 0..100_000 {
        let value = random.var(0);
        kinds[match &value {
            Var::None => 1,
            Var::Bool(_) => 2,
            Var::Int(_) => 3,
            Var::Float(_) => 4,
            Var::Str(_) => 5,
            Var::Obj(_) => 6,
            Var::Err(_) => 7,
            Var::List(_) => 8,
            Var::Map(_) => 9,
            Var::Sym(_) => 10,
            Var::Binary(_) => 11,
            Var::Flyweight(_) => 12,
            _ => 13,
        }] += 1;
        let sender = Sender::Id(Uuid::nil());
        let body = FromWorkerBody::Result(Uuid::nil(), Ok(value));
        let sent = FromWorker { sender, body };
        let wire = sent.encode(Dialect::Plain).unwrap();
        let mut received = FromWorker::decode(&wire, Dialect::Plain).unwrap();
        let FromWorkerBody::Result(_, result) = &mut received.body else { panic!("a result") };
        let value = result.as_ref().unwrap();
        let text = value.to_json().unwrap();
        let read = Var::from_json(&text).unwrap_or_else(|fault| panic!("{round}: {text}: {fault}"));
        *result = Ok(read);
        assert_eq!(received.encode(Dialect::Plain).unwrap(), wire, "{round}: {text}");
    }
    assert!(kinds[1..].iter().all(|count| *count > 1000), "{kinds:?}");
}
