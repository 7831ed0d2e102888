//! A plan's vectorised form and how a batch runs through it: WHERE conjunct by conjunct, each on the rows that are
//! still in; then the outputs of those that passed.

use std::sync::Arc;

use datafusion::arrow::array::{Array, ArrayRef, BooleanArray, Int64Array};
use datafusion::arrow::compute::filter_record_batch;
use datafusion::arrow::datatypes::{Field, Schema};
use datafusion::arrow::record_batch::{RecordBatch, RecordBatchOptions};
use datafusion::common::Result as DfResult;
use datafusion::physical_plan::PhysicalExpr;
use model::{Row, Str, Value};
use sql::plan::{Expr, OnDecodeError, Output, Plan, Shape};
use sql::{Class, Decoded, EventView, Outcome, Reason, RowError, Span, ops};

use super::cell::{self, Cell, Fail, Source, to_array};
use super::compile::Compiler;

/// See the module.
pub(crate) struct Program {
    /// Reads that are columns, behind the time of the event.
    inputs: Vec<usize>,
    /// Aliases that WHERE uses, in the order of their columns; then those only the outputs use.
    where_lets: Vec<Arc<dyn PhysicalExpr>>,
    output_lets: Vec<Arc<dyn PhysicalExpr>>,
    /// `None`: WHERE is for the row form only.
    conjuncts: Option<Vec<Arc<dyn PhysicalExpr>>>,
    /// `None`: the outputs are for the row form only.
    outputs: Option<Outputs>,
}

/// The names of the output columns, and each column with its place in the text.
type Outputs = (Arc<[Str]>, Vec<(Out, Span)>);

/// One output column.
enum Out {
    /// A read as it stands.
    Read(usize),
    Computed(Arc<dyn PhysicalExpr>),
}

/// The events of one evaluation and the rows still in.
struct Rows<'a> {
    plan: &'a Plan,
    views: &'a [EventView<'a>],
    decoded: &'a [Decoded],
    slots: &'a [usize],
}

impl Program {
    /// Compiles a plan. Parts that have no vectorised form stay with the row form.
    pub(crate) fn compile(plan: &Plan) -> Self {
        let mut compiler = Compiler::new(plan);
        let conjuncts = match &plan.where_ {
            None => Some(Vec::new()),
            Some(Expr::And(items)) => items.iter().map(|item| compiler.expr(item)).collect(),
            Some(single) => compiler.expr(single).map(|expr| vec![expr]),
        };
        let where_lets = compiler.lets.len();
        let outputs = match (&plan.shape, &plan.names) {
            (Shape::Select { outputs }, Some(names)) => outputs
                .iter()
                .map(|output| out(&mut compiler, output))
                .collect::<Option<Vec<_>>>()
                .map(|outs| (Arc::clone(names), outs)),
            _ => None,
        };
        let mut lets: Vec<_> = compiler.lets.into_iter().map(|(_, expr)| expr).collect();
        let output_lets = lets.split_off(where_lets.min(lets.len()));
        Self { inputs: compiler.inputs, where_lets: lets, output_lets, conjuncts, outputs }
    }

    /// Whether running it can be better than the row form: it computes something, or rejects rows.
    pub(crate) fn is_useful(&self) -> bool {
        let computes =
            self.outputs.as_ref().is_some_and(|(_, outs)| outs.iter().any(|(out, _)| matches!(out, Out::Computed(_))));
        self.conjuncts.as_ref().is_some_and(|conjuncts| !conjuncts.is_empty() || computes)
    }

    /// What the plan makes of each event, in their order. All events are known to match FROM. `decoded[i]` holds the
    /// payload paths of event `i`, `slots` the places of this plan's paths in them, as in [`sql::evaluate_shared`].
    pub(crate) fn evaluate(
        &self,
        plan: &Plan,
        views: &[EventView<'_>],
        decoded: &[Decoded],
        slots: &[usize],
    ) -> Vec<Outcome> {
        let rows = Rows { plan, views, decoded, slots };
        let mut outcomes: Vec<Option<Outcome>> = vec![None; views.len()];
        if let Err(error) = self.run(&rows, &mut outcomes) {
            // Arrow refused a batch of our own making. The row form still knows every answer.
            tracing::error!(%error, "vectorised evaluation failed; the batch is evaluated row by row");
            outcomes.iter_mut().for_each(|outcome| *outcome = None);
        }
        outcomes.into_iter().enumerate().map(|(row, outcome)| outcome.unwrap_or_else(|| rows.by_row(row))).collect()
    }

    /// Fills in the outcomes of all rows but those that are left to the row form.
    fn run(&self, rows: &Rows<'_>, outcomes: &mut [Option<Outcome>]) -> DfResult<()> {
        let Some(conjuncts) = &self.conjuncts else { return Ok(()) };
        let mut batch = self.batch(rows)?;
        for shared in &self.where_lets {
            batch = with_column(&batch, shared)?;
        }
        let mut alive: Vec<usize> = (0..rows.views.len()).collect();
        for (place, conjunct) in conjuncts.iter().enumerate() {
            let verdicts = conjunct.evaluate(&batch)?.into_array(batch.num_rows())?;
            let passed = judge(&verdicts, &alive, place, outcomes);
            if passed.true_count() == alive.len() {
                continue;
            }
            let mut at = 0;
            alive.retain(|_| {
                at += 1;
                passed.value(at - 1)
            });
            if alive.is_empty() {
                return Ok(());
            }
            batch = filter_record_batch(&batch, &passed)?;
        }
        let Some((names, outputs)) = &self.outputs else { return Ok(()) };
        for shared in &self.output_lets {
            batch = with_column(&batch, shared)?;
        }
        let computed = outputs
            .iter()
            .map(|(output, _)| match output {
                Out::Read(_) => Ok(None),
                Out::Computed(expr) => expr.evaluate(&batch)?.into_array(batch.num_rows()).map(Some),
            })
            .collect::<DfResult<Vec<Option<ArrayRef>>>>()?;
        for (at, row) in alive.iter().enumerate() {
            if let Some(outcome) = outcomes.get_mut(*row) {
                *outcome = Some(rows.output(*row, at, names, outputs, &computed));
            }
        }
        Ok(())
    }

    /// The time of each event and the reads that are computed with.
    fn batch(&self, rows: &Rows<'_>) -> DfResult<RecordBatch> {
        let times = Int64Array::from_iter_values(rows.views.iter().map(|view| view.event().at_ms));
        let mut columns: Vec<ArrayRef> = vec![Arc::new(times)];
        for read in &self.inputs {
            let cells: Vec<Source<'_>> = (0..rows.views.len()).map(|row| rows.read(row, *read)).collect();
            columns.push(to_array(&cells));
        }
        let fields: Vec<Field> = columns
            .iter()
            .enumerate()
            .map(|(at, column)| Field::new(format!("c{at}"), column.data_type().clone(), true))
            .collect();
        let options = RecordBatchOptions::new().with_row_count(Some(rows.views.len()));
        Ok(RecordBatch::try_new_with_options(Arc::new(Schema::new(fields)), columns, &options)?)
    }
}

/// The column and its place in the text.
fn out(compiler: &mut Compiler<'_>, output: &Output) -> Option<(Out, Span)> {
    match output {
        Output::Column { expr: Expr::Read(read), span, .. } => Some((Out::Read(*read), *span)),
        Output::Column { expr, span, .. } => compiler.expr(expr).map(|expr| (Out::Computed(expr), *span)),
        Output::Event { .. } => None,
    }
}

/// The batch with one more column.
fn with_column(batch: &RecordBatch, expr: &Arc<dyn PhysicalExpr>) -> DfResult<RecordBatch> {
    let column = expr.evaluate(batch)?.into_array(batch.num_rows())?;
    let schema = batch.schema();
    let mut fields: Vec<Arc<Field>> = schema.fields().iter().cloned().collect();
    fields.push(Arc::new(Field::new(format!("c{}", fields.len()), column.data_type().clone(), true)));
    let mut columns = batch.columns().to_vec();
    columns.push(column);
    Ok(RecordBatch::try_new(Arc::new(Schema::new(fields)), columns)?)
}

/// Which rows a conjunct lets through; the others get their outcome.
fn judge(verdicts: &ArrayRef, alive: &[usize], place: usize, outcomes: &mut [Option<Outcome>]) -> BooleanArray {
    alive
        .iter()
        .enumerate()
        .map(|(at, row)| {
            let rejected = match cell::get(verdicts.as_ref(), at) {
                Ok(value) if ops::is_true(&value) => return Some(true),
                Ok(_) => Outcome::NoMatch(Reason::Where(place)),
                Err(fail) => Outcome::Error(fail.into_row_error(Class::Where)),
            };
            if let Some(outcome) = outcomes.get_mut(*row) {
                *outcome = Some(rejected);
            }
            Some(false)
        })
        .collect()
}

impl Rows<'_> {
    /// One read of one event, as the row form reads it.
    fn read(&self, row: usize, index: usize) -> Source<'_> {
        let (Some(read), Some(view)) = (self.plan.reads.get(index), self.views.get(row)) else {
            return Source::Owned(Ok(Value::Missing));
        };
        let Some(slot) = read.slot else { return Source::Owned(Ok(view.read(read, self.plan.generation))) };
        let (Some(decoded), Some(slot)) = (self.decoded.get(row), self.slots.get(slot)) else {
            return Source::Owned(Ok(Value::Missing));
        };
        match &decoded.0 {
            Ok(values) => values.get(*slot).map_or(Source::Owned(Ok(Value::Missing)), Source::Borrowed),
            Err(_) if self.plan.on_decode_error == OnDecodeError::Null => Source::Owned(Ok(Value::Missing)),
            Err(error) => {
                let message = format!("decode_json_failed: the payload is no JSON: {error}");
                let mut fail = Fail::new(message, Span::default());
                fail.undecodable = true;
                Source::Owned(Err(fail))
            }
        }
    }

    /// The row of an event that passed WHERE; `at` is its place in the computed columns.
    fn output(
        &self,
        row: usize,
        at: usize,
        names: &Arc<[Str]>,
        outputs: &[(Out, Span)],
        computed: &[Option<ArrayRef>],
    ) -> Outcome {
        let mut values = Vec::with_capacity(outputs.len());
        for ((output, span), column) in outputs.iter().zip(computed) {
            let value: Cell = match (output, column) {
                (Out::Read(read), _) => match self.read(row, *read) {
                    Source::Borrowed(value) => Ok(value.clone()),
                    Source::Owned(cell) => cell,
                },
                (Out::Computed(_), Some(column)) => cell::get(column.as_ref(), at),
                (Out::Computed(_), None) => Err(Fail::new("an output was not computed", Span::default())),
            };
            match value {
                Ok(value) => values.push(value),
                Err(fail) => return Outcome::Error(fail.inside(*span).into_row_error(Class::Select)),
            }
        }
        Outcome::Rows(vec![Row { names: Arc::clone(names), values }])
    }

    fn by_row(&self, row: usize) -> Outcome {
        let nothing = Decoded(Ok(Vec::new()));
        match self.views.get(row) {
            Some(view) => sql::evaluate_shared(self.plan, view, self.decoded.get(row).unwrap_or(&nothing), self.slots),
            None => Outcome::Error(RowError {
                class: Class::Select,
                message: "there is no such row".to_owned(),
                span: Span::default(),
                undecodable: false,
            }),
        }
    }
}
