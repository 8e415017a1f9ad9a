//! The protos are a promise to tills that are updated once a year: what a released version has said must keep its
//! meaning. `baseline.txt` holds every field, enum value and RPC; a line may be added, never changed or removed.

use std::collections::BTreeSet;
use std::path::Path;

use prost::Message as _;
use prost_types::{DescriptorProto, EnumDescriptorProto, FileDescriptorSet};

fn lines() -> BTreeSet<String> {
    let set = FileDescriptorSet::decode(tillside_proto::FILE_DESCRIPTOR_SET)
        .expect("our own descriptor set");
    let mut lines = BTreeSet::new();
    for file in set.file.iter().filter(|f| f.package() == "tillside.v1") {
        file.message_type
            .iter()
            .for_each(|m| message(&mut lines, file.package(), m));
        file.enum_type
            .iter()
            .for_each(|e| enumeration(&mut lines, file.package(), e));
        for service in &file.service {
            for rpc in &service.method {
                let stream = |on: bool| if on { "stream " } else { "" };
                lines.insert(format!(
                    "rpc {}.{}({}{}) -> {}{}",
                    service.name(),
                    rpc.name(),
                    stream(rpc.client_streaming()),
                    rpc.input_type(),
                    stream(rpc.server_streaming()),
                    rpc.output_type()
                ));
            }
        }
    }
    lines
}

fn message(lines: &mut BTreeSet<String>, scope: &str, message_type: &DescriptorProto) {
    let name = format!("{scope}.{}", message_type.name());
    for field in &message_type.field {
        let oneof = field.oneof_index.map_or("", |_| {
            if field.proto3_optional() {
                " optional"
            } else {
                " oneof"
            }
        });
        lines.insert(format!(
            "{name}.{} = {} {:?} {:?} {}{oneof}",
            field.name(),
            field.number(),
            field.label(),
            field.r#type(),
            field.type_name()
        ));
    }
    message_type
        .nested_type
        .iter()
        .for_each(|m| message(lines, &name, m));
    message_type
        .enum_type
        .iter()
        .for_each(|e| enumeration(lines, &name, e));
}

fn enumeration(lines: &mut BTreeSet<String>, scope: &str, enumeration: &EnumDescriptorProto) {
    for value in &enumeration.value {
        lines.insert(format!(
            "enum {scope}.{}.{} = {}",
            enumeration.name(),
            value.name(),
            value.number()
        ));
    }
}

#[test]
fn nothing_that_was_released_has_changed() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("baseline.txt");
    let now = lines();
    if std::env::var_os("TILLSIDE_UPDATE_BASELINE").is_some() {
        let text: String = now.iter().map(|line| format!("{line}\n")).collect();
        std::fs::write(&path, text).expect("the baseline can be written");
    }
    let text = std::fs::read_to_string(&path).expect("the baseline is committed");
    let baseline: BTreeSet<String> = text.lines().map(str::to_owned).collect();
    let lost: Vec<_> = baseline.difference(&now).collect();
    assert!(
        lost.is_empty(),
        "changed or removed, which would break tills in the field: {lost:#?}"
    );
    let new: Vec<_> = now.difference(&baseline).collect();
    assert!(
        new.is_empty(),
        "new; run with TILLSIDE_UPDATE_BASELINE=1 to promise it for good: {new:#?}"
    );
}

#[test]
fn every_enum_starts_at_unspecified() {
    let set = FileDescriptorSet::decode(tillside_proto::FILE_DESCRIPTOR_SET)
        .expect("our own descriptor set");
    for file in set.file.iter().filter(|f| f.package() == "tillside.v1") {
        for enumeration in &file.enum_type {
            let zero = enumeration.value.iter().find(|v| v.number() == 0);
            assert!(
                zero.is_some_and(|v| v.name().ends_with("_UNSPECIFIED")),
                "{}",
                enumeration.name()
            );
        }
    }
}

#[test]
fn everything_is_documented() {
    for entry in std::fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("tillside/v1"))
        .expect("the protos")
    {
        let path = entry.expect("an entry").path();
        let text = std::fs::read_to_string(&path).expect("UTF-8");
        let mut before = "";
        for (number, line) in text.lines().enumerate() {
            let code = line.trim();
            let starts_something = ["message ", "enum ", "service ", "rpc ", "oneof "]
                .iter()
                .any(|word| code.starts_with(word));
            let field = code.ends_with(';')
                && code.contains(" = ")
                && !code.starts_with("syntax")
                && !code.starts_with("option");
            assert!(
                !(starts_something || field) || before.trim().starts_with("//"),
                "{}:{}: {code:?} has no comment",
                path.display(),
                number + 1
            );
            before = line;
        }
    }
}
