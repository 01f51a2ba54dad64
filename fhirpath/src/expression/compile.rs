//! Syntax tree to program: every path step, type and function is resolved against the schema here, or refused.

use std::ops::Range;
use std::sync::Arc;

use super::ast::*;
use super::functions::{self, Form, Function, Yields};
use super::item::{Item, Quantity};
use super::program::{Code, Op, Question, Step as Children};
use super::share::{counts, share};
use super::types::{System, Type, TypeTest, Types, instances, resource_of};
use super::{CompileError, Dialect};
use crate::schema::{PropertyId, Schema, TypeId};

type Result<T, E = CompileError> = std::result::Result<T, E>;

/// A program, the types of what it yields, and how many codes it shares.
#[derive(Debug, Clone)]
pub(super) struct Program {
    pub code: Code,
    pub types: Types,
    pub slots: usize,
}

/// A part of a program and the types of what it yields.
#[derive(Debug, Clone)]
struct Compiled {
    code: Code,
    types: Types,
    /// Whether its items come in no order that the specification fixes.
    is_unordered: bool,
}

impl Compiled {
    fn nothing() -> Compiled {
        Compiled::new(Code::Nothing, Types::none())
    }

    fn new(code: Code, types: impl Into<Types>) -> Compiled {
        Compiled { code, types: types.into(), is_unordered: false }
    }

    /// With one more step; a step over single items does nothing to nothing.
    fn then(self, op: Op, types: Types) -> Compiled {
        let code = match self.code {
            Code::Nothing if op.is_itemwise() => return Compiled::nothing(),
            Code::Walk { start, mut ops } if op.is_itemwise() => {
                ops.push(op);
                Code::Walk { start, ops }
            }
            Code::Chain { base, mut ops } => {
                ops.push(op);
                Code::Chain { base, ops }
            }
            base => match base.as_start().filter(|_| op.is_itemwise()) {
                Some(start) => Code::Walk { start, ops: vec![op] },
                None => Code::Chain { base: Box::new(base), ops: vec![op] },
            },
        };
        Compiled { code, types, ..self }
    }
}

/// Compiles for inputs of the types `contexts`.
pub(super) fn compile(
    schema: &Schema,
    contexts: &[&str],
    text: &str,
    expr: &Expr,
    dialect: Dialect,
    constants: &[(String, Item<'static>)],
) -> Result<Program> {
    let mut input = if *contexts == ["Any"] { Types::any() } else { Types::none() };
    for context in contexts.iter().filter(|context| **context != "Any") {
        let Some(id) = schema.type_id(context) else {
            return Err(CompileError::at(text, 0, format!("the context '{context}' is no type")));
        };
        input.insert(Type::Fhir(id));
    }
    let resource = contexts.first().and_then(|context| resource_of(schema, context));
    let resource = resource.or_else(|| schema.type_id("Resource"));
    let resource = resource.map_or_else(Types::any, |id| Types::from(Type::Fhir(id)));
    let compiler = Compiler {
        schema,
        text,
        lenient: dialect == Dialect::SearchParameter,
        strict: dialect == Dialect::Strict,
        resource,
        input: input.clone(),
        constants,
    };
    let scope = Scope { this: &input, is_root: true, has_index: false, total: None };
    let Compiled { mut code, types, .. } = compiler.expr(expr, &scope)?;
    let slots = share(&mut code);
    Ok(Program { code, types, slots })
}

struct Compiler<'s> {
    schema: &'s Schema,
    text: &'s str,
    lenient: bool,
    strict: bool,
    /// Of `%resource`.
    resource: Types,
    /// Of `%context`.
    input: Types,
    /// The caller's, by name.
    constants: &'s [(String, Item<'static>)],
}

/// What an expression sees around it.
#[derive(Clone, Copy)]
struct Scope<'c> {
    /// Types of `$this`.
    this: &'c Types,
    /// Whether `$this` is the input of the whole expression.
    is_root: bool,
    has_index: bool,
    /// Types of `$total`.
    total: Option<&'c Types>,
}

impl Compiler<'_> {
    fn fail<T>(&self, position: usize, message: impl Into<String>) -> Result<T> {
        Err(CompileError::at(self.text, position, message))
    }

    fn expr(&self, expr: &Expr, scope: &Scope) -> Result<Compiled> {
        let this = || Compiled::new(Code::This, scope.this.clone());
        match &expr.kind {
            ExprKind::Literal(literal) => Ok(constant(literal)),
            ExprKind::Empty => Ok(Compiled::nothing()),
            ExprKind::Variable(variable) => self.variable(*variable, expr.position, scope),
            ExprKind::Constant(name) => self.external(name, expr.position),
            ExprKind::Name(name) => self.implicit(name, expr.position, scope),
            ExprKind::Call(call) => self.call(this(), call, expr.position, scope),
            ExprKind::Path { base, steps } => {
                let base = self.expr(base, scope)?;
                self.path(base, steps, scope)
            }
            ExprKind::Sign { negative, operand } => self.sign(*negative, operand, expr.position, scope),
            ExprKind::Binary { operator, left, right } => self.binary(*operator, left, right, scope),
            ExprKind::Union(branches) => self.union(branches, scope),
            ExprKind::Type { operator, operand, specifier } => {
                let test = self.type_test(specifier)?;
                match (operator, unresolved(operand)) {
                    (TypeOperator::Is, Some(reference)) => {
                        let reference = match reference {
                            Unresolved::This => this(),
                            Unresolved::Path(base, steps) => {
                                self.path(self.expr(base, scope)?, steps, scope)?
                            }
                        };
                        Ok(reference_is(reference, test))
                    }
                    (TypeOperator::Is, None) => Ok(is(self.expr(operand, scope)?, test)),
                    (TypeOperator::As, _) => Ok(self.cast(self.expr(operand, scope)?, test)),
                }
            }
        }
    }

    fn variable(&self, variable: Variable, position: usize, scope: &Scope) -> Result<Compiled> {
        match (variable, scope.total) {
            (Variable::This, _) => Ok(Compiled::new(Code::This, scope.this.clone())),
            (Variable::Index, _) if scope.has_index => Ok(Compiled::new(Code::Index, System::Integer)),
            (Variable::Index, _) => self.fail(position, "$index has no meaning outside of an iteration"),
            (Variable::Total, Some(types)) => Ok(Compiled::new(Code::Total, types.clone())),
            (Variable::Total, None) => self.fail(position, "$total has no meaning outside of aggregate()"),
        }
    }

    /// `%name` (<https://hl7.org/fhir/R4/fhirpath.html#variables>).
    fn external(&self, name: &str, position: usize) -> Result<Compiled> {
        let text =
            |text: String| Ok(Compiled::new(Code::Constant(Item::String(text.into())), System::String));
        match name {
            "resource" => Ok(Compiled::new(Code::Resource, self.resource.clone())),
            "rootResource" => {
                let any = self.schema.type_id("Resource").map_or_else(Types::any, |id| Type::Fhir(id).into());
                Ok(Compiled::new(Code::RootResource, any))
            }
            "context" => Ok(Compiled::new(Code::Context, self.input.clone())),
            "ucum" => text("http://unitsofmeasure.org".to_owned()),
            "sct" => text("http://snomed.info/sct".to_owned()),
            "loinc" => text("http://loinc.org".to_owned()),
            _ => {
                if let Some((_, item)) = self.constants.iter().find(|(known, _)| known == name) {
                    Ok(Compiled::new(Code::Constant(item.clone()), item.type_of()))
                } else if let Some(id) = name.strip_prefix("vs-") {
                    text(format!("http://hl7.org/fhir/ValueSet/{id}"))
                } else if let Some(id) = name.strip_prefix("ext-") {
                    text(format!("http://hl7.org/fhir/StructureDefinition/{id}"))
                } else {
                    self.fail(position, format!("there is no constant '%{name}'"))
                }
            }
        }
    }

    /// A name that stands alone: an element of `$this`, or the type of the input, which then is the input itself. For
    /// an input that is of another type it is nothing when lenient, so that one text serves several types.
    fn implicit(&self, name: &str, position: usize, scope: &Scope) -> Result<Compiled> {
        let this = Compiled::new(Code::This, scope.this.clone());
        let named = self.schema.type_id(name).filter(|_| name.starts_with(|c: char| c.is_ascii_uppercase()));
        let Some(id) = named else { return self.member(this, name, position) };
        let test = TypeTest::of_type(id);
        let narrowed = test.narrow(self.schema, scope.this);
        if narrowed.is_none() && !(scope.is_root && self.lenient) && !scope.this.is_none() {
            let types = scope.this.names(self.schema);
            return self.fail(position, format!("'{name}' is neither an element of {types} nor its type"));
        }
        if !narrowed.is_none() && !scope.this.is_any() && narrowed == *scope.this {
            return Ok(this);
        }
        Ok(self.of_type(this, test))
    }

    /// `.name` of what `base` yields.
    fn member(&self, base: Compiled, name: &str, position: usize) -> Result<Compiled> {
        if base.types.is_none() {
            return Ok(Compiled::nothing());
        }
        let found = self.properties(&base.types, name);
        if found.types.is_none() {
            let types = base.types.names(self.schema);
            return self.fail(position, format!("'{name}' is no element of {types}"));
        }
        let by_name = base.types.is_any() || base.types.iter().any(|found| matches!(found, Type::System(_)));
        let of_type_info = matches!(name, "name" | "namespace");
        let step = match found.ranges.as_slice() {
            ranges if base.types.is_any() && !of_type_info => match ranges.len() <= FEW_OWNERS {
                true => Children::Several(ranges.into()),
                false => Children::Any(self.by_type(ranges)),
            },
            _ if by_name => Children::Named(name.into()),
            [(_, range)] => Children::One(range.clone()),
            ranges => Children::Several(ranges.into()),
        };
        Ok(base.then(Op::Children(step), found.types))
    }

    /// The ranges in a table by the number of the type, empty where it has none.
    fn by_type(&self, ranges: &[(TypeId, Range<PropertyId>)]) -> Box<[Range<PropertyId>]> {
        let none = PropertyId(0)..PropertyId(0);
        let mut table = vec![none; self.schema.type_ids().count()].into_boxed_slice();
        for (owner, range) in ranges {
            if let Some(place) = table.get_mut(usize::from(owner.0)) {
                *place = range.clone();
            }
        }
        table
    }

    fn properties(&self, types: &Types, name: &str) -> Properties {
        let mut found = Properties { ranges: Vec::new(), types: Types::none() };
        let owners = types.iter().filter_map(|owner| match owner {
            Type::Fhir(id) => Some(id),
            Type::System(_) => None,
        });
        let owners: Vec<TypeId> = match types.is_any() {
            true => self.schema.type_ids().collect(),
            false => owners.flat_map(|id| instances(self.schema, id)).collect(),
        };
        for owner in owners {
            let Some(range) = self.property(owner, name) else { continue };
            for id in property_ids(&range) {
                found.types.insert(Type::Fhir(self.schema.definition(id).type_id));
            }
            found.ranges.push((owner, range));
        }
        if types.iter().any(|found| found == Type::System(System::TypeInfo))
            && matches!(name, "name" | "namespace")
        {
            found.types.insert(Type::System(System::String));
        }
        found.ranges.sort_by_key(|(owner, _)| *owner);
        found.ranges.dedup();
        found
    }

    /// The properties of a name; when lenient, also of a choice's name in JSON (US Core says
    /// `extension.where(...).valueDateTime`).
    fn property(&self, owner: TypeId, name: &str) -> Option<Range<PropertyId>> {
        self.schema.property(owner, name).or_else(|| {
            let mut ids = self.schema.property_ids(owner).filter(|_| self.lenient);
            let id = ids.find(|id| {
                let property = self.schema.definition(*id);
                property.is_choice && property.json_name == name
            })?;
            Some(id..PropertyId(id.0 + 1))
        })
    }

    fn path(&self, base: Compiled, steps: &[Step], scope: &Scope) -> Result<Compiled> {
        let mut done = base;
        let mut steps = steps.iter().peekable();
        while let Some(step) = steps.next() {
            done = match &step.kind {
                StepKind::Name(name) => self.member(done, name, step.position)?,
                StepKind::Index(index) => {
                    self.ordered(&done, "an index", step.position)?;
                    let types = done.types.clone();
                    let index = self.expr(index, scope)?.code;
                    done.then(Op::Index(index), types)
                }
                StepKind::Variable(_) => {
                    return self.fail(step.position, "a variable cannot follow a point");
                }
                StepKind::Call(call) => {
                    let next = steps.peek().and_then(|next| type_call(&next.kind, "is"));
                    if let (true, Some(argument)) = (is_resolve(call), next) {
                        steps.next();
                        reference_is(done, self.type_argument(argument)?)
                    } else {
                        self.call(done, call, step.position, scope)?
                    }
                }
            };
        }
        Ok(done)
    }

    /// To the letter, what asks for an order of items that have none is refused
    /// (<https://hl7.org/fhirpath/N1/#children-collection>).
    fn ordered(&self, base: &Compiled, name: &str, position: usize) -> Result<()> {
        if self.strict && base.is_unordered {
            return self.fail(
                position,
                format!("{name} depends on an order that children and descendants do not have"),
            );
        }
        Ok(())
    }

    /// `as`: to the letter of one item at most; R4's own invariants and search parameters take it as a filter.
    fn cast(&self, base: Compiled, test: TypeTest) -> Compiled {
        let types = base.types.clone();
        let single = functions::find("single").filter(|_| self.strict && !types.is_none());
        let base = match single {
            Some(function) => base.then(Op::Function { function, arguments: Vec::new() }, types),
            None => base,
        };
        self.of_type(base, test)
    }

    fn of_type(&self, base: Compiled, test: TypeTest) -> Compiled {
        let test = TypeTest { is_cast: true, ..test };
        let types = test.narrow(self.schema, &base.types);
        if types.is_none() {
            return Compiled::nothing();
        }
        let Compiled { mut code, types: before, is_unordered } = base;
        if let Code::Walk { ops, .. } | Code::Chain { ops, .. } = &mut code
            && let Some(Op::Children(step)) = ops.last_mut()
            && self.narrow_step(step, test)
        {
            return Compiled { code, types, is_unordered };
        }
        Compiled { code, types: before, is_unordered }.then(Op::OfType(test), types)
    }

    /// Leaves only the properties of a step that pass the test, when they are neighbours and the schema is sure of it.
    fn narrow_step(&self, step: &mut Children, test: TypeTest) -> bool {
        let narrow = |range: &Range<PropertyId>| {
            let types = || property_ids(range).map(|id| (id, self.schema.definition(id).type_id));
            if types().any(|(_, id)| self.schema.is_abstract(id)) {
                return None;
            }
            let passing = || types().filter(|(_, id)| test.accepts(self.schema, Type::Fhir(*id)));
            let (first, last) = (passing().next()?.0, passing().next_back()?.0);
            let all = usize::try_from(last.0 - first.0 + 1).is_ok_and(|count| count == passing().count());
            all.then_some(first..PropertyId(last.0 + 1))
        };
        let narrowed = match step {
            Children::One(range) => narrow(range).map(Children::One),
            Children::Several(_) | Children::Any(_) | Children::Named(_) | Children::All => None,
        };
        narrowed.is_some_and(|narrowed| {
            *step = narrowed;
            true
        })
    }

    fn type_test(&self, specifier: &TypeSpecifier) -> Result<TypeTest> {
        match TypeTest::resolve(self.schema, specifier, self.lenient) {
            Some(test) => Ok(test),
            None => {
                let namespace = specifier.namespace.iter().fold(String::new(), |_, name| format!("{name}."));
                self.fail(specifier.position, format!("'{namespace}{}' is no type", specifier.name))
            }
        }
    }

    /// A type specifier in the place of an argument: `Quantity`, `FHIR.Quantity`.
    fn type_argument(&self, argument: &Expr) -> Result<TypeTest> {
        let position = argument.position;
        let specifier = match &argument.kind {
            ExprKind::Name(name) => TypeSpecifier { namespace: None, name: name.clone(), position },
            ExprKind::Path { base, steps } => match (&base.kind, steps.as_slice()) {
                (ExprKind::Name(namespace), [Step { kind: StepKind::Name(name), .. }]) => {
                    TypeSpecifier { namespace: Some(namespace.clone()), name: name.clone(), position }
                }
                _ => return self.fail(position, "expected a type"),
            },
            _ => return self.fail(position, "expected a type"),
        };
        self.type_test(&specifier)
    }

    fn sign(&self, negative: bool, operand: &Expr, position: usize, scope: &Scope) -> Result<Compiled> {
        let operand = self.expr(operand, scope)?;
        let numeric = |found: Type| match found {
            Type::System(system) => matches!(system, System::Integer | System::Decimal | System::Quantity),
            Type::Fhir(_) => true,
        };
        if !operand.types.is_any() && operand.types.iter().any(|found| !numeric(found)) {
            return self.fail(position, "only a number or a quantity has a sign");
        }
        Ok(match negative {
            true => Compiled::new(Code::Negate(Box::new(operand.code)), operand.types),
            false => operand,
        })
    }

    fn union(&self, branches: &[Expr], scope: &Scope) -> Result<Compiled> {
        let mut codes = Vec::new();
        let mut types = Types::none();
        for branch in branches {
            let branch = self.expr(branch, scope)?;
            if !matches!(branch.code, Code::Nothing) {
                types = types.with(&branch.types);
                codes.push(branch.code);
            }
        }
        let code = match codes.len() {
            0 => Code::Nothing,
            // A search parameter of several types; what is left of it is a plain path.
            1 if self.lenient => codes.pop().unwrap_or(Code::Nothing),
            _ => Code::Union(codes),
        };
        Ok(Compiled::new(code, types))
    }

    fn binary(&self, operator: Operator, left: &Expr, right: &Expr, scope: &Scope) -> Result<Compiled> {
        let (left, right) = (self.expr(left, scope)?, self.expr(right, scope)?);
        let types = match operator {
            Operator::Concatenate => System::String.into(),
            Operator::Div => System::Integer.into(),
            Operator::Multiply | Operator::Divide | Operator::Mod => Types::any(),
            Operator::Add | Operator::Subtract => Types::any(),
            _ => System::Boolean.into(),
        };
        let code = match (operator, right.code) {
            (Operator::Equal, Code::Constant(Item::String(text))) => {
                Code::EqualsText { operand: Box::new(left.code), text: text.into() }
            }
            (_, code) => operation(operator, left.code, code),
        };
        Ok(Compiled::new(code, types))
    }

    /// A function over what `base` yields.
    fn call(&self, base: Compiled, call: &Call, position: usize, scope: &Scope) -> Result<Compiled> {
        let Some(function) = functions::find(&call.name) else {
            return self.fail(position, format!("there is no function '{}'", call.name));
        };
        let given = call.arguments.len();
        if !function.arguments.contains(&given) {
            let (least, most) = function.arguments.clone().into_inner();
            let count = match (least, most) {
                (1, 1) => "1 argument".to_owned(),
                _ if least == most => format!("{least} arguments"),
                _ => format!("{least} to {most} arguments"),
            };
            return self.fail(position, format!("{}() takes {count}, not {given}", call.name));
        }
        if matches!(function.name, "first" | "last" | "tail" | "skip" | "take") {
            self.ordered(&base, &format!("{}()", function.name), position)?;
        }
        match function.form {
            Form::Types => {
                let test = call.arguments.first().map(|argument| self.type_argument(argument)).transpose()?;
                if function.name == "getReferenceKey" {
                    return Ok(self.reference_key(base, function, test));
                }
                let Some(test) = test else { return Ok(Compiled::nothing()) };
                Ok(match function.name {
                    "is" => is(base, test),
                    "as" => self.cast(base, test),
                    _ => self.of_type(base, test),
                })
            }
            Form::Values => self.plain(base, function, call, scope),
            Form::Criteria => {
                let this = base.types.clone();
                let inner = Scope { this: &this, is_root: false, has_index: true, total: scope.total };
                self.plain(base, function, call, &inner)
            }
            Form::Branch => {
                let this = if base.types.is_none() { scope.this.clone() } else { base.types.clone() };
                let inner = Scope { this: &this, is_root: false, ..*scope };
                self.plain(base, function, call, &inner)
            }
            Form::Aggregate => self.aggregate(base, function, call, scope),
            Form::Repeat => self.repeat(base, function, call, scope),
            Form::Keys => self.keys(base, function, call, scope),
        }
    }

    /// The keys of `sort`; one with a sign before it, which need not be a number's, counts downwards.
    fn keys(
        &self,
        base: Compiled,
        function: &'static Function,
        call: &Call,
        scope: &Scope,
    ) -> Result<Compiled> {
        let this = base.types.clone();
        let inner = Scope { this: &this, is_root: false, has_index: false, total: scope.total };
        let mut arguments = Vec::new();
        for argument in &call.arguments {
            arguments.push(match &argument.kind {
                ExprKind::Sign { negative: true, operand } => {
                    Code::Negate(Box::new(self.expr(operand, &inner)?.code))
                }
                _ => self.expr(argument, &inner)?.code,
            });
        }
        let sorted = base.then(Op::Function { function, arguments }, this);
        Ok(Compiled { is_unordered: false, ..sorted })
    }

    /// `getReferenceKey(Patient)`: the type is handed on by its name.
    fn reference_key(&self, base: Compiled, function: &'static Function, test: Option<TypeTest>) -> Compiled {
        let name = test.map(|test| test.fhir.map_or("", |id| self.schema.type_name(id)).to_owned());
        let arguments = name.map(|name| Code::Constant(Item::String(name.into()))).into_iter().collect();
        base.then(Op::Function { function, arguments }, System::String.into())
    }

    fn plain(
        &self,
        base: Compiled,
        function: &'static Function,
        call: &Call,
        scope: &Scope,
    ) -> Result<Compiled> {
        let mut arguments = Vec::new();
        let mut results = Vec::new();
        for argument in &call.arguments {
            let argument = self.expr(argument, scope)?;
            results.push(argument.types);
            arguments.push(argument.code);
        }
        let types = self.yields(function, &base.types, &results);
        self.compile_pattern(function.name, call, &mut arguments)?;
        let function =
            if self.lenient && function.name == "resolve" { &functions::RESOLVE_INSIDE } else { function };
        if let Some(question) = question(function.name, &arguments) {
            return Ok(Compiled::new(Code::Ask { question, operand: Box::new(base.code) }, types));
        }
        let op = match (function.name, arguments.as_mut_slice()) {
            ("children", []) => Op::Children(Children::All),
            ("descendants", []) => Op::Descendants,
            ("exists", [criteria]) if !counts(criteria) => {
                let found = base.then(Op::Where(std::mem::replace(criteria, Code::Nothing)), Types::any());
                let operand = Box::new(found.code);
                return Ok(Compiled::new(Code::Ask { question: Question::Exists, operand }, types));
            }
            ("all", [criteria]) => {
                let criteria = Box::new(std::mem::replace(criteria, Code::Nothing));
                let code = Code::All { operand: Box::new(base.code), criteria };
                return Ok(Compiled::new(code, types));
            }
            ("where", [criteria]) if !counts(criteria) => {
                Op::Where(std::mem::replace(criteria, Code::Nothing))
            }
            ("extension", [Code::Constant(Item::String(url))]) => Op::Extension(url.as_ref().into()),
            _ => Op::Function { function, arguments },
        };
        let is_unordered = base.is_unordered || matches!(function.name, "children" | "descendants");
        Ok(Compiled { is_unordered, ..base.then(op, types) })
    }

    /// A regular expression that is written as a literal is compiled here, once.
    fn compile_pattern(&self, name: &str, call: &Call, arguments: &mut [Code]) -> Result<()> {
        let is_pattern = matches!(name, "matches" | "matchesFull" | "replaceMatches");
        let (true, Some(Code::Constant(Item::String(text)))) = (is_pattern, arguments.first()) else {
            return Ok(());
        };
        let position = call.arguments.first().map_or(0, |argument| argument.position);
        let Some(pattern) = functions::Pattern::new(text, name == "matchesFull") else {
            return self.fail(position, format!("the pattern of {name}() is no regular expression"));
        };
        let pattern = Code::Pattern { pattern: Arc::new(pattern), text: text.as_ref().into() };
        if let Some(first) = arguments.first_mut() {
            *first = pattern;
        }
        Ok(())
    }

    fn yields(&self, function: &Function, input: &Types, arguments: &[Types]) -> Types {
        let fhir = |name: &str| self.schema.type_id(name).map_or_else(Types::any, |id| Type::Fhir(id).into());
        match function.yields {
            Yields::Input => input.clone(),
            Yields::Arguments => arguments.iter().fold(Types::none(), Types::with),
            Yields::Branches => arguments.iter().skip(1).fold(Types::none(), Types::with),
            Yields::InputAndArguments => arguments.iter().fold(input.clone(), Types::with),
            Yields::System(system) => system.into(),
            Yields::Fhir(name) => fhir(name),
            Yields::Any => Types::any(),
        }
    }

    /// `aggregate(expression, start)`: `$total` starts as `start`, and can be anything later.
    fn aggregate(
        &self,
        base: Compiled,
        function: &'static Function,
        call: &Call,
        scope: &Scope,
    ) -> Result<Compiled> {
        let total = Types::any();
        let this = base.types.clone();
        let inner = Scope { this: &this, is_root: false, has_index: true, total: Some(&total) };
        let mut arguments = Vec::new();
        for (number, argument) in call.arguments.iter().enumerate() {
            arguments.push(self.expr(argument, if number == 0 { &inner } else { scope })?.code);
        }
        Ok(base.then(Op::Function { function, arguments }, Types::any()))
    }

    /// `repeat(projection)`: the projection is compiled for the input's types and for those it yields itself.
    fn repeat(
        &self,
        base: Compiled,
        function: &'static Function,
        call: &Call,
        scope: &Scope,
    ) -> Result<Compiled> {
        let Some(projection) = call.arguments.first() else { return Ok(Compiled::nothing()) };
        let mut this = base.types.clone();
        let mut yielded = Types::none();
        loop {
            let inner = Scope { this: &this, is_root: false, has_index: true, total: scope.total };
            let compiled = self.expr(projection, &inner)?;
            let grown = this.clone().with(&compiled.types);
            yielded = yielded.with(&compiled.types);
            if grown == this {
                return Ok(base.then(Op::Function { function, arguments: vec![compiled.code] }, yielded));
            }
            this = grown;
        }
    }
}

/// An operator over two codes, as the code that answers it with the least work.
fn operation(operator: Operator, left: Code, right: Code) -> Code {
    let equals = matches!(operator, Operator::Equal | Operator::NotEqual);
    let orders = matches!(
        operator,
        Operator::Less | Operator::LessOrEqual | Operator::Greater | Operator::GreaterOrEqual
    );
    let is_logic = matches!(operator, Operator::And | Operator::Or | Operator::Xor | Operator::Implies);
    let of_truths = left.is_truth() && right.is_truth();
    let of_numbers = left.is_number() && right.is_number();
    let (left, right) = (Box::new(left), Box::new(right));
    match operator {
        _ if is_logic => Code::Logic { operator, left, right },
        _ if equals && of_truths => Code::SameTruth { equal: operator == Operator::Equal, left, right },
        _ if (equals || orders) && of_numbers => Code::Counts { operator, left, right },
        _ => Code::Binary { operator, left, right },
    }
}

/// The functions that are questions about a collection.
fn question(name: &str, arguments: &[Code]) -> Option<Question> {
    if !arguments.is_empty() {
        return None;
    }
    Some(match name {
        "exists" => Question::Exists,
        "empty" => Question::Empty,
        "hasValue" => Question::HasValue,
        "not" => Question::Not,
        "count" => Question::Count,
        _ => return None,
    })
}

/// As many owners of a name as are searched for; of more there is a table.
const FEW_OWNERS: usize = 16;

/// The properties of a name in several types.
struct Properties {
    ranges: Vec<(TypeId, Range<PropertyId>)>,
    types: Types,
}

fn property_ids(range: &Range<PropertyId>) -> impl DoubleEndedIterator<Item = PropertyId> + use<> {
    (range.start.0..range.end.0).map(PropertyId)
}

fn constant(literal: &Literal) -> Compiled {
    let (item, system) = match literal {
        Literal::Boolean(value) => (Item::Boolean(*value), System::Boolean),
        Literal::String(text) => (Item::String(text.clone().into()), System::String),
        Literal::Integer(value) => (Item::Integer(*value), System::Integer),
        Literal::Decimal(value) => (Item::Decimal(*value), System::Decimal),
        Literal::Date(value) => (Item::Date(*value), System::Date),
        Literal::DateTime(value) => (Item::DateTime(*value), System::DateTime),
        Literal::Time(value) => (Item::Time(*value), System::Time),
        Literal::Quantity { value, unit, calendar } => {
            let quantity = Quantity { value: *value, unit: unit.clone(), calendar: *calendar };
            (Item::Quantity(Box::new(quantity)), System::Quantity)
        }
    };
    Compiled::new(Code::Constant(item), system)
}

fn is(operand: Compiled, test: TypeTest) -> Compiled {
    Compiled::new(Code::Is { operand: Box::new(operand.code), test }, System::Boolean)
}

fn reference_is(operand: Compiled, test: TypeTest) -> Compiled {
    Compiled::new(Code::ReferenceIs { operand: Box::new(operand.code), test }, System::Boolean)
}

fn is_resolve(call: &Call) -> bool {
    call.name == "resolve" && call.arguments.is_empty()
}

/// What stands before a `resolve()` at the end.
enum Unresolved<'e> {
    This,
    Path(&'e Expr, &'e [Step]),
}

fn unresolved(expr: &Expr) -> Option<Unresolved<'_>> {
    match &expr.kind {
        ExprKind::Call(call) if is_resolve(call) => Some(Unresolved::This),
        ExprKind::Path { base, steps } => match steps.split_last()? {
            (Step { kind: StepKind::Call(call), .. }, before) if is_resolve(call) => {
                Some(Unresolved::Path(base, before))
            }
            _ => None,
        },
        _ => None,
    }
}

/// The argument of a call of `name` with one.
fn type_call<'e>(step: &'e StepKind, name: &str) -> Option<&'e Expr> {
    match step {
        StepKind::Call(call) if call.name == name && call.arguments.len() == 1 => call.arguments.first(),
        _ => None,
    }
}
