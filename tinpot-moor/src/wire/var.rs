//! Values as tables.

#[cfg(test)]
mod tests;

use super::Dialect;
use super::reader::{Reader, Table, Tables};
use super::slots::{self, MESSAGE, ONLY, Slot, error, flyweight, pair, var};
use super::writer::{Field, Writer};
use crate::fault::Fault;
use crate::var::obj::Obj;
use crate::var::{DEPTH_MAX, ErrorCode, ErrorValue, Flyweight, Var};

fn too_deep() -> Fault {
    Fault::new(format!("a value must be nested at most {DEPTH_MAX} deep"))
}

impl Reader<'_> {
    /// Reads a value in a field.
    pub(crate) fn var(&mut self, table: Table, slot: Slot) -> Result<Var, Fault> {
        let value = self.table(table, slot)?;
        self.value(value, 1).map_err(|fault| fault.within(slot.name))
    }

    /// Reads a vector of values in a field.
    pub(crate) fn vars(&mut self, table: Table, slot: Slot) -> Result<Vec<Var>, Fault> {
        let elements = self.tables(table, slot)?;
        self.values(elements, 1).map_err(|fault| fault.within(slot.name))
    }

    pub(crate) fn symbol(&mut self, table: Table, slot: Slot) -> Result<String, Fault> {
        let symbol = self.table(table, slot)?;
        let text = self.text(symbol, ONLY).map_err(|fault| fault.within(slot.name))?;
        Ok(text.to_owned())
    }

    pub(crate) fn obj(&mut self, table: Table, slot: Slot) -> Result<Obj, Fault> {
        let obj = self.table(table, slot)?;
        let mut read = || {
            let (tag, id) = self.union(obj, MESSAGE)?;
            match tag {
                slots::obj::ID => Ok(Obj::Id(self.i32(id, ONLY)?)),
                slots::obj::UU => Ok(Obj::Uu(self.u64(id, ONLY)?)),
                slots::obj::ANONYMOUS => Ok(Obj::Anonymous(self.u64(id, ONLY)?)),
                other => Err(Fault::new(format!("there is no object with tag {other}"))),
            }
        };
        read().map_err(|fault| fault.within(slot.name))
    }

    fn values(&mut self, elements: Tables, depth: usize) -> Result<Vec<Var>, Fault> {
        let mut values = Vec::with_capacity(elements.len);
        for index in 0..elements.len {
            let value = self.element(elements, index).and_then(|value| self.value(value, depth));
            values.push(value.map_err(|fault| fault.within_element(index))?);
        }
        Ok(values)
    }

    /// Reads a value that is nested this deep. Recursion is bounded by the depth.
    fn value(&mut self, table: Table, depth: usize) -> Result<Var, Fault> {
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        let (tag, value) = self.union(table, ONLY)?;
        Ok(match tag {
            var::NONE => Var::None,
            var::BOOL => Var::Bool(self.bool(value, ONLY)?),
            var::INT => Var::Int(self.i64(value, ONLY)?),
            var::FLOAT => Var::Float(self.f64(value, ONLY)?),
            var::STR => Var::Str(self.text(value, ONLY)?.to_owned()),
            var::OBJ => Var::Obj(self.obj(value, ONLY)?),
            var::ERR => Var::Err(Box::new(self.error(value, depth)?)),
            var::LIST => {
                let elements = self.tables(value, ONLY)?;
                Var::List(self.values(elements, depth + 1)?)
            }
            var::MAP => Var::Map(self.pairs(value, depth)?),
            var::SYM => Var::Sym(self.symbol(value, ONLY)?),
            var::BINARY => Var::Binary(self.bytes(value, ONLY)?.to_owned()),
            var::FLYWEIGHT => Var::Flyweight(Box::new(self.flyweight(value, depth)?)),
            var::LAMBDA => return Err(Fault::new("a lambda cannot leave its database")),
            var::ANONYMOUS => Var::Anonymous(self.obj(value, ONLY)?),
            other => return Err(Fault::new(format!("there is no value with tag {other}"))),
        })
    }

    fn error(&mut self, table: Table, depth: usize) -> Result<ErrorValue, Fault> {
        let table = self.table(table, ONLY)?;
        let code = match self.byte(table, error::CODE)? {
            error::CUSTOM_CODE => ErrorCode::Custom(self.symbol(table, error::CUSTOM)?),
            code if usize::from(code) < ErrorCode::NAMES.len() => ErrorCode::BuiltIn(code),
            other => {
                let last = ErrorCode::NAMES.len() - 1;
                let problem = format!("a code must be 0 to {last}, or 255 (got {other})");
                return Err(Fault::new(problem).within(error::CODE.name));
            }
        };
        let message = self.optional_text(table, error::MSG)?.map(str::to_owned);
        let value = match self.optional_table(table, error::VALUE)? {
            Some(value) => {
                let value = self.value(value, depth + 1);
                Some(value.map_err(|fault| fault.within(error::VALUE.name))?)
            }
            None => None,
        };
        Ok(ErrorValue { code, message, value })
    }

    fn pairs(&mut self, table: Table, depth: usize) -> Result<Vec<(Var, Var)>, Fault> {
        let elements = self.tables(table, ONLY)?;
        let mut pairs = Vec::with_capacity(elements.len);
        for index in 0..elements.len {
            let mut read = || {
                let pair = self.element(elements, index)?;
                let key = self.table(pair, pair::KEY)?;
                let key =
                    self.value(key, depth + 1).map_err(|fault| fault.within(pair::KEY.name))?;
                let value = self.table(pair, pair::VALUE)?;
                let value =
                    self.value(value, depth + 1).map_err(|fault| fault.within(pair::VALUE.name))?;
                Ok((key, value))
            };
            pairs.push(read().map_err(|fault: Fault| fault.within_element(index))?);
        }
        Ok(pairs)
    }

    fn flyweight(&mut self, table: Table, depth: usize) -> Result<Flyweight, Fault> {
        let delegate = self.obj(table, flyweight::DELEGATE)?;
        let elements = self.tables(table, flyweight::SLOTS)?;
        let mut slots = Vec::with_capacity(elements.len);
        for index in 0..elements.len {
            let mut read = || {
                let slot = self.element(elements, index)?;
                let name = self.symbol(slot, flyweight::NAME)?;
                let value = self.table(slot, flyweight::VALUE)?;
                Ok((name, self.value(value, depth + 1)?))
            };
            slots.push(read().map_err(|fault: Fault| {
                fault.within_element(index).within(flyweight::SLOTS.name)
            })?);
        }
        let contents = self.table(table, flyweight::CONTENTS)?;
        let contents =
            self.tables(contents, ONLY).and_then(|elements| self.values(elements, depth + 1));
        let contents = contents.map_err(|fault| fault.within(flyweight::CONTENTS.name))?;
        Ok(Flyweight { delegate, slots, contents })
    }
}

impl Writer {
    /// Writes a union, and lets the offset at `place` point to the table around it. Returns the
    /// place of the offset of the union's value.
    pub(crate) fn union(&mut self, place: usize, tag: u8) -> usize {
        let (at, [value, _]) = self.table([Field::Value(ONLY), Field::Tag(ONLY, tag)]);
        self.link(place, at);
        value
    }

    pub(crate) fn symbol(&mut self, place: usize, symbol: &str) {
        let text = self.boxed(place, ONLY);
        self.text(text, symbol);
    }

    pub(crate) fn obj(&mut self, place: usize, obj: Obj) {
        let (tag, field) = match obj {
            Obj::Id(id) => (slots::obj::ID, Field::Four(ONLY, id as u32)),
            Obj::Uu(id) => (slots::obj::UU, Field::Eight(ONLY, id)),
            Obj::Anonymous(id) => (slots::obj::ANONYMOUS, Field::Eight(ONLY, id)),
        };
        let place = self.union(place, tag);
        self.number(place, field);
    }

    fn number(&mut self, place: usize, field: Field) {
        let (at, [_]) = self.table([field]);
        self.link(place, at);
    }

    /// Writes a vector of values.
    pub(crate) fn vars(
        &mut self,
        place: usize,
        values: &[Var],
        dialect: Dialect,
    ) -> Result<(), Fault> {
        self.values(place, values, dialect, 1)
    }

    pub(crate) fn var(&mut self, place: usize, value: &Var, dialect: Dialect) -> Result<(), Fault> {
        self.value(place, value, dialect, 1)
    }

    fn values(
        &mut self,
        place: usize,
        values: &[Var],
        dialect: Dialect,
        depth: usize,
    ) -> Result<(), Fault> {
        let first = self.tables(place, values.len());
        for (index, value) in values.iter().enumerate() {
            self.value(first + 4 * index, value, dialect, depth)
                .map_err(|fault| fault.within_element(index))?;
        }
        Ok(())
    }

    fn value(
        &mut self,
        place: usize,
        value: &Var,
        dialect: Dialect,
        depth: usize,
    ) -> Result<(), Fault> {
        if depth > DEPTH_MAX {
            return Err(too_deep());
        }
        match value {
            Var::None => {
                let place = self.union(place, var::NONE);
                self.empty(place);
            }
            Var::Bool(value) => {
                let place = self.union(place, var::BOOL);
                self.number(place, Field::Byte(ONLY, u8::from(*value)));
            }
            Var::Int(value) => {
                let place = self.union(place, var::INT);
                self.number(place, Field::Eight(ONLY, *value as u64));
            }
            Var::Float(value) => {
                let place = self.union(place, var::FLOAT);
                self.number(place, Field::Eight(ONLY, value.to_bits()));
            }
            Var::Str(text) => {
                let place = self.union(place, var::STR);
                let place = self.boxed(place, ONLY);
                self.text(place, text);
            }
            Var::Obj(obj) => {
                let place = self.union(place, var::OBJ);
                let place = self.boxed(place, ONLY);
                self.obj(place, *obj);
            }
            Var::Err(error) => {
                let place = self.union(place, var::ERR);
                let place = self.boxed(place, ONLY);
                self.error(place, error, dialect, depth)?;
            }
            Var::List(values) => {
                let place = self.union(place, var::LIST);
                let place = self.boxed(place, ONLY);
                self.values(place, values, dialect, depth + 1)?;
            }
            Var::Map(pairs) => {
                let place = self.union(place, var::MAP);
                let place = self.boxed(place, ONLY);
                let first = self.tables(place, pairs.len());
                for (index, (key, value)) in pairs.iter().enumerate() {
                    let (at, [key_at, value_at]) =
                        self.table([Field::Offset(pair::KEY), Field::Offset(pair::VALUE)]);
                    self.link(first + 4 * index, at);
                    self.value(key_at, key, dialect, depth + 1)
                        .and_then(|()| self.value(value_at, value, dialect, depth + 1))
                        .map_err(|fault| fault.within_element(index))?;
                }
            }
            Var::Sym(symbol) => {
                let place = self.union(place, var::SYM);
                let place = self.boxed(place, ONLY);
                self.symbol(place, symbol);
            }
            Var::Binary(bytes) => {
                let place = self.union(place, var::BINARY);
                let place = self.boxed(place, ONLY);
                self.bytes(place, bytes);
            }
            Var::Flyweight(flyweight) => {
                let place = self.union(place, var::FLYWEIGHT);
                self.flyweight(place, flyweight, dialect, depth)?;
            }
            Var::Anonymous(_) if dialect == Dialect::Token => {
                return Err(Fault::new("the dialect with tokens has no anonymous objects"));
            }
            Var::Anonymous(obj) => {
                let place = self.union(place, var::ANONYMOUS);
                let place = self.boxed(place, ONLY);
                self.obj(place, *obj);
            }
        }
        Ok(())
    }

    fn error(
        &mut self,
        place: usize,
        error: &ErrorValue,
        dialect: Dialect,
        depth: usize,
    ) -> Result<(), Fault> {
        let (code, custom) = match &error.code {
            ErrorCode::BuiltIn(code) if usize::from(*code) < ErrorCode::NAMES.len() => {
                (*code, None)
            }
            ErrorCode::BuiltIn(code) => {
                return Err(Fault::new(format!("there is no error with code {code}")));
            }
            ErrorCode::Custom(symbol) => (error::CUSTOM_CODE, Some(symbol)),
        };
        // Absent fields have no offset, so each combination is a table of its own.
        let (message, value) = (error.message.as_deref(), error.value.as_ref());
        let present = [
            message.map(|_| error::MSG),
            value.map(|_| error::VALUE),
            custom.map(|_| error::CUSTOM),
        ];
        let mut places = self.optional(place, present, Field::Byte(error::CODE, code));
        let mut next = || places.next().unwrap_or_default();
        if let Some(message) = message {
            self.text(next(), message);
        }
        if let Some(value) = value {
            self.value(next(), value, dialect, depth + 1)
                .map_err(|fault| fault.within(error::VALUE.name))?;
        }
        if let Some(custom) = custom {
            self.symbol(next(), custom);
        }
        Ok(())
    }

    /// Writes a table with those of three offsets that are present, and a last field. Returns the
    /// places of the offsets.
    fn optional(
        &mut self,
        place: usize,
        slots: [Option<Slot>; 3],
        last: Field,
    ) -> std::vec::IntoIter<usize> {
        let present: Vec<Slot> = slots.into_iter().flatten().collect();
        let (at, places) = match present[..] {
            [] => (self.table([last]).0, Vec::new()),
            [one] => {
                let (at, [one, _]) = self.table([Field::Offset(one), last]);
                (at, vec![one])
            }
            [one, two] => {
                let (at, [one, two, _]) =
                    self.table([Field::Offset(one), Field::Offset(two), last]);
                (at, vec![one, two])
            }
            [one, two, three, ..] => {
                let fields = [one, two, three].map(Field::Offset);
                let (at, [one, two, three, _]) =
                    self.table([fields[0], fields[1], fields[2], last]);
                (at, vec![one, two, three])
            }
        };
        self.link(place, at);
        places.into_iter()
    }

    fn flyweight(
        &mut self,
        place: usize,
        flyweight: &Flyweight,
        dialect: Dialect,
        depth: usize,
    ) -> Result<(), Fault> {
        let (at, [delegate, slots, contents]) = self.table([
            Field::Offset(flyweight::DELEGATE),
            Field::Offset(flyweight::SLOTS),
            Field::Offset(flyweight::CONTENTS),
        ]);
        self.link(place, at);
        self.obj(delegate, flyweight.delegate);
        let first = self.tables(slots, flyweight.slots.len());
        for (index, (name, value)) in flyweight.slots.iter().enumerate() {
            let (at, [name_at, value_at]) =
                self.table([Field::Offset(flyweight::NAME), Field::Offset(flyweight::VALUE)]);
            self.link(first + 4 * index, at);
            self.symbol(name_at, name);
            self.value(value_at, value, dialect, depth + 1)
                .map_err(|fault| fault.within_element(index).within(flyweight::SLOTS.name))?;
        }
        let contents = self.boxed(contents, ONLY);
        self.values(contents, &flyweight.contents, dialect, depth + 1)
            .map_err(|fault| fault.within(flyweight::CONTENTS.name))
    }
}
