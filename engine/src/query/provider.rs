//! A snapshot of a table as DataFusion reads it: exactly its files, with the partition values the log has for them.

use std::sync::Arc;

use async_trait::async_trait;
use connector::Table;
use datafusion::arrow::datatypes::{DataType, Field, Fields, Schema, SchemaRef};
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::stats::Precision;
use datafusion::common::{ScalarValue, Statistics};
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::Result as DfResult;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::{Expr, TableType};
use datafusion::object_store::path::Path as ObjectPath;
use datafusion::physical_plan::ExecutionPlan;
use datafusion::physical_plan::empty::EmptyExec;

use super::error::{Error, ErrorKind};

/// One table of the snapshot.
#[derive(Debug)]
pub(super) struct SnapshotTable {
    /// In the table's own order.
    schema: SchemaRef,
    /// File columns, then partition columns.
    scan_schema: TableSchema,
    /// Where each column of `schema` is in `scan_schema`.
    places: Vec<usize>,
    files: Vec<PartitionedFile>,
    bytes: u64,
}

impl SnapshotTable {
    pub(super) fn new(table: &Table) -> Result<Self, Error> {
        let bad = |what: String| Error::new(ErrorKind::Execution, format!("table {}: {what}", table.name));
        let fields = table
            .columns
            .iter()
            .map(|column| {
                let data_type: DataType =
                    column.data_type.parse().map_err(|error| bad(format!("column {}: {error}", column.name)))?;
                Ok(Arc::new(Field::new(&column.name, data_type, true)))
            })
            .collect::<Result<Fields, Error>>()?;
        let is_partition = |name: &str| table.partition_columns.iter().any(|partition| partition == name);
        let stored: Fields = fields.iter().filter(|field| !is_partition(field.name())).cloned().collect();
        let mut partition = Vec::new();
        for name in &table.partition_columns {
            let field = fields.iter().find(|field| field.name() == name);
            partition.push(Arc::clone(field.ok_or_else(|| bad(format!("the partition column {name} is no column")))?));
        }
        let places = fields
            .iter()
            .filter_map(|field| {
                let same = |other: &&Arc<Field>| other.name() == field.name();
                stored.iter().chain(&partition).position(|other| same(&other))
            })
            .collect();
        let mut files = Vec::with_capacity(table.files.len());
        for file in &table.files {
            let path = ObjectPath::from_absolute_path(&file.path).map_err(|error| bad(error.to_string()))?;
            let values = partition
                .iter()
                .map(|field| partition_value(field, &file.partition).map_err(&bad))
                .collect::<Result<Vec<_>, Error>>()?;
            let mut partitioned = PartitionedFile::new("", file.bytes).with_partition_values(values);
            // Set after the fact: the constructor would escape the % of folder names a second time.
            partitioned.object_meta.location = path;
            files.push(partitioned);
        }
        Ok(Self {
            schema: Arc::new(Schema::new(fields)),
            scan_schema: TableSchema::builder(Arc::new(Schema::new(stored)))
                .with_table_partition_cols(partition)
                .build(),
            places,
            files,
            bytes: table.files.iter().map(|file| file.bytes).sum(),
        })
    }
}

fn partition_value(field: &Field, values: &[(String, Option<String>)]) -> Result<ScalarValue, String> {
    let text = values.iter().find(|(name, _)| name == field.name()).and_then(|(_, value)| value.clone());
    let value = match text {
        Some(text) => ScalarValue::try_from_string(text, field.data_type()),
        None => ScalarValue::try_from(field.data_type()),
    };
    value.map_err(|error| format!("partition column {}: {error}", field.name()))
}

#[async_trait]
impl TableProvider for SnapshotTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn statistics(&self) -> Option<Statistics> {
        let mut statistics = Statistics::new_unknown(&self.schema);
        statistics.total_byte_size = Precision::Inexact(usize::try_from(self.bytes).unwrap_or(usize::MAX));
        Some(statistics)
    }

    /// Filters are not taken here: the physical optimizer pushes them into the Parquet source, which skips files by
    /// partition value and row groups by statistics.
    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        _filters: &[Expr],
        limit: Option<usize>,
    ) -> DfResult<Arc<dyn ExecutionPlan>> {
        let wanted: Vec<usize> = match projection {
            Some(indices) => indices.iter().filter_map(|index| self.places.get(*index).copied()).collect(),
            None => self.places.clone(),
        };
        if self.files.is_empty() {
            let schema = self.scan_schema.table_schema().project(&wanted)?;
            return Ok(Arc::new(EmptyExec::new(Arc::new(schema))));
        }
        let groups = FileGroup::new(self.files.clone()).split_files(state.config().target_partitions());
        let source = Arc::new(ParquetSource::new(self.scan_schema.clone()));
        let config = FileScanConfigBuilder::new(ObjectStoreUrl::local_filesystem(), source)
            .with_file_groups(groups)
            .with_projection_indices(Some(wanted))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}
