//! Every method the server has, read from the descriptors once, so that a call finds its service and its metrics with one
//! look-up and no text is made per call.

use prost::Message as _;
use rustc_hash::FxHashMap;

use crate::telemetry::MethodMetrics;

/// The service behind a method.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are the services'")]
pub enum Target {
    Customer,
    /// RecognizeCustomer, the method of the shortest way.
    Recognition,
    Offer,
    Fulfillment,
    Inventory,
    Catalog,
    Ingest,
    Checkout,
    Operations,
    Simulation,
    Health,
    ReflectionV1,
    ReflectionV1Alpha,
}

impl Target {
    fn of(service: &str) -> Option<Target> {
        Some(match service {
            "tillside.v1.CustomerService" => Target::Customer,
            "tillside.v1.OfferService" => Target::Offer,
            "tillside.v1.FulfillmentService" => Target::Fulfillment,
            "tillside.v1.InventoryService" => Target::Inventory,
            "tillside.v1.CatalogService" => Target::Catalog,
            "tillside.v1.IngestService" => Target::Ingest,
            "tillside.v1.CheckoutService" => Target::Checkout,
            "tillside.v1.OperationsService" => Target::Operations,
            "tillside.v1.SimulationService" => Target::Simulation,
            "grpc.health.v1.Health" => Target::Health,
            "grpc.reflection.v1.ServerReflection" => Target::ReflectionV1,
            "grpc.reflection.v1alpha.ServerReflection" => Target::ReflectionV1Alpha,
            _ => return None,
        })
    }
}

/// A method.
#[derive(Debug)]
struct Method {
    target: Target,
    metrics: MethodMetrics,
}

/// A method's place in [`Methods`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MethodNumber(u16);

/// All methods by path.
#[derive(Debug)]
pub struct Methods {
    by_path: FxHashMap<Box<str>, MethodNumber>,
    methods: Vec<Method>,
    unknown: MethodMetrics,
    services: Vec<String>,
}

impl Methods {
    /// The methods of the descriptors. `SimulationService` exists only where the clock is simulated.
    pub fn new(simulated_clock: bool) -> Result<Methods, prost::DecodeError> {
        let mut methods = Methods {
            by_path: FxHashMap::default(),
            methods: Vec::new(),
            unknown: MethodMetrics::new("unknown"),
            services: Vec::new(),
        };
        for bytes in [
            tillside_proto::FILE_DESCRIPTOR_SET,
            tonic_health::pb::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1::FILE_DESCRIPTOR_SET,
            tonic_reflection::pb::v1alpha::FILE_DESCRIPTOR_SET,
        ] {
            for file in prost_types::FileDescriptorSet::decode(bytes)?.file {
                methods.add(&file, simulated_clock);
            }
        }
        Ok(methods)
    }

    fn add(&mut self, file: &prost_types::FileDescriptorProto, simulated_clock: bool) {
        for service in &file.service {
            let name = format!("{}.{}", file.package(), service.name());
            let Some(target) = Target::of(&name) else {
                continue;
            };
            if target == Target::Simulation && !simulated_clock {
                continue;
            }
            for method in &service.method {
                let short = format!("{}/{}", service.name(), method.name());
                let path = format!("/{name}/{}", method.name());
                self.by_path
                    .insert(path.into(), MethodNumber(self.methods.len() as u16));
                let target = match (target, method.name()) {
                    (Target::Customer, "RecognizeCustomer") => Target::Recognition,
                    _ => target,
                };
                self.methods.push(Method {
                    target,
                    metrics: MethodMetrics::new(&short),
                });
            }
            self.services.push(name);
        }
    }

    /// The method at a path.
    pub fn find(&self, path: &str) -> Option<MethodNumber> {
        self.by_path.get(path).copied()
    }

    /// The service of a method.
    pub fn target(&self, number: MethodNumber) -> Target {
        self.methods[usize::from(number.0)].target
    }

    /// The metrics of a method; `None`: of all that do not exist.
    pub fn metrics(&self, number: Option<MethodNumber>) -> &MethodMetrics {
        number.map_or(&self.unknown, |n| &self.methods[usize::from(n.0)].metrics)
    }

    /// Full names of all services.
    pub fn services(&self) -> &[String] {
        &self.services
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_service_of_the_protos_has_a_target() {
        let methods = Methods::new(true).expect("our own descriptors decode");
        let set = prost_types::FileDescriptorSet::decode(tillside_proto::FILE_DESCRIPTOR_SET)
            .expect("our own descriptors");
        for file in set.file.iter().filter(|f| f.package() == "tillside.v1") {
            for service in &file.service {
                for method in &service.method {
                    let path = format!("/tillside.v1.{}/{}", service.name(), method.name());
                    assert!(methods.find(&path).is_some(), "{path}");
                }
            }
        }
        assert_eq!(
            methods
                .find("/grpc.health.v1.Health/Check")
                .map(|m| methods.target(m)),
            Some(Target::Health)
        );
        let recognition = methods.find("/tillside.v1.CustomerService/RecognizeCustomer");
        assert_eq!(
            recognition.map(|m| methods.target(m)),
            Some(Target::Recognition)
        );
    }

    #[test]
    fn the_clock_can_be_moved_only_where_it_is_simulated() {
        let path = "/tillside.v1.SimulationService/AdvanceClock";
        assert!(
            Methods::new(true)
                .expect("descriptors")
                .find(path)
                .is_some()
        );
        assert!(
            Methods::new(false)
                .expect("descriptors")
                .find(path)
                .is_none()
        );
    }
}
