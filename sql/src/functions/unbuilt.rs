//! Functions of the later versions that are known and not built, so that a rule that uses one is told so.

const UNBUILT: [(&[&str], &str); 6] = [
    (
        &[
            "schema_encode",
            "schema_decode",
            "schema_check",
            "avro_encode",
            "avro_decode",
            "schema_encode_and_tag",
            "schema_decode_tagged",
        ],
        "the schema registry is not built",
    ),
    (&["sparkplug_encode", "sparkplug_decode", "spb_encode", "spb_decode", "spb_zip_kvs"], "Sparkplug B is not built"),
    (&["ai_completion"], "calls to language models are not built"),
    (&["term_encode", "term_decode"], "Erlang terms are not built; json_encode and json_decode keep every value"),
    (&["headers", "header"], "messages have no headers; read flags and pub_props"),
    (
        &[
            "lag",
            "latest",
            "had_changed",
            "changed_cols",
            "acc_sum",
            "acc_avg",
            "acc_min",
            "acc_max",
            "acc_count",
            "window_start",
            "window_end",
            "count",
            "sum",
            "avg",
            "min",
            "max",
            "collect",
            "tumble",
            "hop",
            "session",
        ],
        "aggregates, windows and functions over several events are not built",
    ),
];

/// Why a function that exists elsewhere does not exist here.
pub fn unbuilt(name: &str) -> Option<&'static str> {
    let wanted = name.to_ascii_lowercase();
    UNBUILT.iter().find(|(names, _)| names.contains(&wanted.as_str())).map(|(_, reason)| *reason)
}
