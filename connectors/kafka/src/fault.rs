//! What an error code of librdkafka or a broker means.

use connector::{Error, ErrorKind};
use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};

/// Sorts an error; `what` says what was being done.
pub(crate) fn classify(error: KafkaError, what: &str) -> Error {
    let Some(code) = error.rdkafka_error_code() else {
        return Error::permanent(ErrorKind::Internal, what.to_owned()).with_source(error);
    };
    let (kind, temporary, remedy) = meaning(code);
    let context = if remedy.is_empty() { what.to_owned() } else { format!("{what}; {remedy}") };
    let made = if temporary { Error::temporary(kind, context) } else { Error::permanent(kind, context) };
    made.with_source(error)
}

/// Kind, whether to try again, and what to do about it.
fn meaning(code: Code) -> (ErrorKind, bool, &'static str) {
    match code {
        Code::MessageSizeTooLarge | Code::InvalidMessageSize => (
            ErrorKind::Rejected,
            false,
            "the record is larger than max_batch_bytes here or max.message.bytes of the topic",
        ),
        Code::InvalidTopic | Code::InvalidRecord | Code::InvalidTimestamp | Code::PolicyViolation => {
            (ErrorKind::Rejected, false, "")
        }
        Code::UnknownTopic | Code::UnknownTopicOrPartition | Code::UnknownPartition => {
            (ErrorKind::NotFound, false, "create the topic, or correct its name in the action")
        }
        Code::Authentication
        | Code::SaslAuthenticationFailed
        | Code::UnsupportedSASLMechanism
        | Code::IllegalSASLState => {
            (ErrorKind::Unauthorized, false, "correct username, password and sasl_mechanism of the resource")
        }
        Code::TopicAuthorizationFailed | Code::ClusterAuthorizationFailed => {
            (ErrorKind::Unauthorized, false, "allow the resource's user to write to the topic")
        }
        Code::InvalidArgument | Code::InvalidConfig => (ErrorKind::Config, false, ""),
        Code::QueueFull | Code::NotEnoughReplicas | Code::NotEnoughReplicasAfterAppend => {
            (ErrorKind::Exhausted, true, "")
        }
        Code::MessageTimedOut | Code::OperationTimedOut | Code::RequestTimedOut => (ErrorKind::Timeout, true, ""),
        // Moved leaders, fenced epochs, lost connections: the cluster is finding itself again.
        _ => (ErrorKind::Unreachable, true, ""),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_code_decides_between_waiting_and_failing() {
        fn check(code: Code, expect: (ErrorKind, bool)) {
            let error = classify(KafkaError::MessageProduction(code), "writing");
            assert_eq!((error.kind, error.is_temporary()), expect, "{code:?}");
        }
        check(Code::MessageSizeTooLarge, (ErrorKind::Rejected, false));
        check(Code::UnknownTopicOrPartition, (ErrorKind::NotFound, false));
        check(Code::SaslAuthenticationFailed, (ErrorKind::Unauthorized, false));
        check(Code::TopicAuthorizationFailed, (ErrorKind::Unauthorized, false));
        check(Code::QueueFull, (ErrorKind::Exhausted, true));
        check(Code::MessageTimedOut, (ErrorKind::Timeout, true));
        check(Code::AllBrokersDown, (ErrorKind::Unreachable, true));
        check(Code::NotLeaderForPartition, (ErrorKind::Unreachable, true));
    }
}
