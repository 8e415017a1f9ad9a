"""Every call of the tour, made by a client that knows the server by reflection only.

Prints one line a check and ends non-zero where one failed. The data is a corner of a retailer: two stores in Tuscany and one
in Rome, five products, a handful of people.
"""

import datetime
import math
import sys
import tempfile
import time
import traceback

import grpc
import page
from process import Server
from surface import Refused, Surface, request_id

FLORENCE, PRATO, ROME = "0101", "0102", "0201"
PLACES = {FLORENCE: (43.7696, 11.2558), PRATO: (43.8777, 11.1023), ROME: (41.9028, 12.4964)}
COFFEE, MILK, PASTA, TOBACCO, HAM = "000451", "000452", "000453", "000454", "000455"
EARTH_RADIUS_METERS = 6_371_008.8


def ean13(body):
    """Twelve digits and their check digit."""
    total = sum(int(digit) * (3 if position % 2 else 1) for position, digit in enumerate(body))
    return body + str(-total % 10)


COFFEE_GTIN = ean13("800123456789")
CARD_MARIA, CARD_LUCA, CARD_NOBODY = (ean13(body) for body in ("980000000001", "980000000002", "980000000777"))
CARD_SEEN_AT_TILL = ean13("980000000888")


def euros(cents):
    return {"currency_code": "EUR", "minor_units": cents}


def pieces(count):
    return {"thousandths": count * 1000}


def card(value):
    return {"type": "IDENTIFIER_TYPE_LOYALTY_CARD", "value": value}


def email(value):
    return {"type": "IDENTIFIER_TYPE_EMAIL", "value": value}


def at(store):
    latitude, longitude = PLACES[store]
    return {"latitude": latitude, "longitude": longitude}


def distance_meters(a, b):
    """Great-circle distance on the mean earth radius."""
    (lat1, lon1), (lat2, lon2) = ([math.radians(degrees) for degrees in PLACES[place]] for place in (a, b))
    h = math.sin((lat2 - lat1) / 2) ** 2 + math.cos(lat1) * math.cos(lat2) * math.sin((lon2 - lon1) / 2) ** 2
    return 2 * EARTH_RADIUS_METERS * math.asin(math.sqrt(h))


class Tour:
    """The checks, in the order in which a retailer would meet the calls."""

    def __init__(self, server):
        self.server = server
        self.surface = None
        self.passed = self.failed = 0
        self.now = datetime.datetime.now(datetime.timezone.utc)

    # -- bookkeeping ------------------------------------------------------------------------------------------------

    def check(self, what, holds, found=""):
        if holds:
            self.passed += 1
            print(f"ok    {what}")
        else:
            self.failed += 1
            print(f"FAIL  {what}: {found}")

    def equal(self, what, found, wanted):
        self.check(what, found == wanted, f"found {found!r}, wanted {wanted!r}")

    def refused(self, what, code, reason, act):
        """The call must end with this code and this reason; answers the error for further checks."""
        try:
            answer = act()
        except Refused as refused:
            self.check(
                f"{what} is {code} / {reason}",
                (refused.code.name, refused.reason, refused.domain) == (code, reason, "tillside") and refused.message,
                f"found {refused.code.name} / {refused.reason} of {refused.domain}: {refused.message}",
            )
            return refused
        self.check(f"{what} is {code} / {reason}", False, f"answered {str(answer)[:300]!r}")
        return None

    def ago(self, minutes):
        return (self.now - datetime.timedelta(minutes=minutes)).isoformat().replace("+00:00", "Z")

    def call(self, service, method, **content):
        return self.surface.call(service, method, content)

    def stock(self, sku, store):
        return self.call("InventoryService", "GetAvailability", sku=sku, store_id=store)

    def state(self, reservation):
        return self.surface.enum_name(reservation.legs[0], "state").removeprefix("RESERVATION_STATE_")

    def outcome(self, answer):
        return self.surface.enum_name(answer, "outcome").split("OUTCOME_")[1]

    def acks(self, answer):
        return [self.surface.enum_name(ack, "status").removeprefix("ACK_STATUS_") for ack in answer.acks]

    # -- the tour ---------------------------------------------------------------------------------------------------

    def surface_by_reflection(self):
        self.surface = Surface(self.server.target)
        wanted = {
            f"tillside.v1.{name}Service"
            for name in ("Catalog", "Checkout", "Customer", "Fulfillment", "Ingest", "Inventory", "Offer", "Operations")
        }
        found = set(self.surface.services)
        self.check("reflection (v1alpha) lists every service", wanted <= found, f"missing {wanted - found}")
        found = set(self.surface.services_by_v1())
        self.check("reflection (v1) lists every service", wanted <= found, f"missing {wanted - found}")
        self.check("reflection lists the health service", "grpc.health.v1.Health" in found, found)

    def health_and_http(self):
        self.equal("health of the server as a whole", self.server.health(), "SERVING")
        self.equal("health of one service", self.server.health("tillside.v1.CheckoutService"), "SERVING")
        self.equal("/livez", self.server.get("/livez")[0], 200)
        self.equal("/readyz", self.server.get("/readyz")[0], 200)
        status, body = self.server.get("/metrics")
        self.check("/metrics has metrics of the server", status == 200 and "tillside_" in body, (status, body[:200]))

    def stores_and_products(self):
        all_week = [
            {"day": f"DAY_OF_WEEK_{day}", "open_minute": 0, "close_minute": 1440}
            for day in ("MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY")
        ]
        stores = {
            "request_id": request_id(),
            "stores": [
                {"store_id": FLORENCE, "display_name": "Firenze Centro", "location": at(FLORENCE), "town": "Firenze"},
                {"store_id": PRATO, "display_name": "Prato Ovest", "location": at(PRATO), "opening_hours": all_week},
                {"store_id": ROME, "display_name": "Roma Termini", "location": at(ROME), "time_zone": "Europe/Rome"},
            ],
        }
        first = self.call("CatalogService", "PutStores", **stores)
        self.equal("PutStores creates", (first.created, first.updated, first.unchanged), (3, 0, 0))
        again = self.call("CatalogService", "PutStores", **stores)
        self.equal("PutStores retried with the same request_id answers the same", again, first)
        stores["request_id"] = request_id()
        anew = self.call("CatalogService", "PutStores", **stores)
        self.equal(
            "PutStores of the same under a new request_id changes nothing",
            (anew.created, anew.updated, anew.unchanged),
            (0, 0, 3),
        )
        store = self.call("CatalogService", "GetStore", store_id=FLORENCE)
        self.check("GetStore keeps leading zeros and gives an etag", store.store_id == FLORENCE and store.etag, store)

        def product(sku, name, cents, category, **more):
            base = {"sku": sku, "display_name": name, "list_price": euros(cents), "category_path": category}
            return {**base, "vat_rate_basis_points": 1000, **more}

        answer = self.call(
            "CatalogService",
            "PutProducts",
            request_id=request_id(),
            products=[
                product(COFFEE, "Caffè macinato 250 g", 459, ["Food", "Coffee"], gtins=[COFFEE_GTIN], brand="Aroma"),
                product(MILK, "Latte intero 1 l", 169, ["Food", "Dairy"]),
                product(PASTA, "Spaghetti 500 g", 119, ["Food", "Pasta"]),
                product(TOBACCO, "Sigarette", 600, ["Tobacco"], promotion_restricted=True),
                product(HAM, "Prosciutto crudo", 2990, ["Food", "Deli"], unit="UNIT_KG", plu="123456"),
            ],
        )
        self.equal("PutProducts creates", answer.created, 5)
        found = self.call("CatalogService", "GetProduct", scanned_code=COFFEE_GTIN).product.sku
        self.equal("GetProduct by what the scanner read", found, COFFEE)
        weighed = self.call("CatalogService", "GetProduct", scanned_code=ean13("2" + "123456" + "00750"))
        self.equal(
            "and by a code with the price in it", (weighed.product.sku, weighed.embedded_amount.minor_units), (HAM, 750)
        )
        listed = self.call("CatalogService", "ListProducts", page_size=3)
        rest = self.call("CatalogService", "ListProducts", page_size=3, page_token=listed.next_page_token)
        self.equal(
            "ListProducts pages in SKU order",
            [p.sku for p in [*listed.products, *rest.products]],
            [COFFEE, MILK, PASTA, TOBACCO, HAM],
        )
        self.refused(
            "GetStore of an unknown store",
            "NOT_FOUND",
            "UNKNOWN_STORE",
            lambda: self.call("CatalogService", "GetStore", store_id="none"),
        )

    def events_in_a_batch(self):
        def event(event_id, minutes_ago, **payload):
            return {"event_id": event_id, "source": "pos", "occurred_time": self.ago(minutes_ago), **payload}

        def counted(sku, store, count, safety=0):
            content = {"sku": sku, "store_id": store, "on_hand": pieces(count)}
            return {"stock_count": {**content, "safety_stock": pieces(safety)} if safety else content}

        def person(customer_id, number, address, given, family, granted):
            return {
                "profile_upserted": {
                    "customer_id": customer_id,
                    "identifiers": [card(number), email(address)],
                    "contacts": {"given_name": given, "family_name": family, "language": "it"},
                    "consents": [{"purpose": "CONSENT_PURPOSE_PROFILING", "granted": granted}],
                    "preferred_store_id": FLORENCE,
                    "segments": ["gold"],
                }
            }

        events = [
            event("person-1", 90, **person("C-0001", CARD_MARIA, "maria.rossi@example.com", "Maria", "Rossi", True)),
            event("person-2", 90, **person("C-0002", CARD_LUCA, "luca.verdi@example.com", "Luca", "Verdi", False)),
            event("count-1", 60, **counted(COFFEE, FLORENCE, 20)),
            event("count-2", 60, **counted(COFFEE, PRATO, 10)),
            event("count-3", 60, **counted(MILK, PRATO, 10, safety=2)),
            event("count-4", 60, **counted(COFFEE, ROME, 50)),
            event("count-5", 60, **counted(MILK, ROME, 50)),
            event("sale-1", 30, transaction=self.receipt(FLORENCE, 1, [(COFFEE, 2, 918)], [card(CARD_MARIA)])),
            event("sale-2", 20, transaction=self.receipt(FLORENCE, 2, [(COFFEE, 1, 459)], [card(CARD_MARIA)])),
            event(
                "sale-3", 20, transaction=self.receipt(FLORENCE, 3, [("never-seen", 1, 100)], [card(CARD_SEEN_AT_TILL)])
            ),
            event("bad-1", 10, **counted("never-seen", FLORENCE, 1)),
        ]
        answer = self.call("IngestService", "IngestBatch", events=events)
        self.equal("IngestBatch takes all but the bad event", self.acks(answer), ["ACCEPTED"] * 10 + ["REJECTED"])
        self.equal(
            "acks come in the order sent", [ack.event_id for ack in answer.acks], [e["event_id"] for e in events]
        )
        problem = answer.acks[10].problem
        self.check(
            "the bad event says why, and what to do", problem.reason == "UNKNOWN_SKU" and problem.message, problem
        )
        self.equal(
            "a sale of an unknown SKU is kept, with a warning",
            [w.reason for w in answer.acks[9].warnings],
            ["UNKNOWN_SKU"],
        )
        again = self.call("IngestService", "IngestBatch", events=events)
        self.equal("the same batch again is all duplicates", self.acks(again), ["DUPLICATE"] * 10 + ["REJECTED"])
        self.equal("a duplicate names the first change", again.acks[7].sequence, answer.acks[7].sequence)
        renamed = {**events[7], "event_id": "sale-1-sent-by-another-system"}
        answer = self.call("IngestService", "IngestBatch", events=[renamed])
        self.equal("a receipt is known by its own key too", self.acks(answer), ["DUPLICATE"])
        level = self.stock(COFFEE, FLORENCE)
        self.equal("counts and sales gave the level", level.on_hand_thousandths, 17_000)
        self.equal("safety stock is kept from the web", self.stock(MILK, PRATO).available_online_thousandths, 8_000)
        lines = self.call("IngestService", "ListQuarantinedLines").lines
        self.equal(
            "the unknown SKU is in quarantine",
            [(line.item, line.reason) for line in lines],
            [("never-seen", "UNKNOWN_SKU")],
        )
        people = self.call("IngestService", "ListProvisionalCustomers").customers
        self.equal(
            "the unknown card is a provisional customer",
            [p.masked_identifier[-4:] for p in people],
            [CARD_SEEN_AT_TILL[-4:]],
        )

    def receipt(self, store, number, lines, identifiers=(), **line_extra):
        return {
            "key": {
                "store_id": store,
                "workstation_id": "till-1",
                "business_day_date": self.now.date().isoformat(),
                "sequence_number": number,
            },
            "lines": [
                {"sku": sku, "quantity": pieces(count), "net_amount": euros(cents), **line_extra}
                for sku, count, cents in lines
            ],
            "tenders": [{"type": "CARD", "amount": euros(sum(cents for _, _, cents in lines))}],
            "customer_identifiers": list(identifiers),
        }

    def events_in_a_stream(self):
        talk = self.surface.converse("IngestService", "IngestEvents")

        def sale(number):
            return {
                "event_id": f"stream-{number}",
                "source": "pos",
                "occurred_time": self.ago(5),
                "transaction": self.receipt(PRATO, number, [(PASTA, 1, 119)]),
            }

        answer = talk.ask({"position": 1, "events": [sale(11), sale(12)]})
        self.equal(
            "the stream acknowledges a message while it stays open",
            (answer.durable_position, self.acks(answer)),
            (1, ["ACCEPTED"] * 2),
        )
        answer = talk.ask({"position": 2, "events": [sale(12), sale(13)], "omit_accepted": True})
        self.equal(
            "plain acceptances can be left out", (answer.durable_position, self.acks(answer)), (2, ["DUPLICATE"])
        )
        self.equal("and are counted", (answer.accepted, answer.duplicates, answer.rejected), (1, 1, 0))
        self.check("the stream ends cleanly", talk.end())
        self.equal("on-hand may go negative: the sale happened", self.stock(PASTA, PRATO).on_hand_thousandths, -3_000)

    def recognition(self):
        def recognize(*identifiers, **more):
            return self.call(
                "CustomerService", "RecognizeCustomer", identifiers=list(identifiers), store_id=FLORENCE, **more
            )

        answer = recognize(card(CARD_MARIA), view="PROFILE_VIEW_CHECKOUT")
        who = answer.customer
        self.equal("recognised by card", (self.outcome(answer), who.customer_id), ("MATCHED", "C-0001"))
        self.equal("with the number of purchases", who.purchase_count, 2)
        self.equal(
            "and the spend",
            [(s.net_amount.currency_code, s.net_amount.minor_units) for s in who.spend],
            [("EUR", 1377)],
        )
        self.equal("and the favourite product", [f.id for f in who.favourite_products], [COFFEE])
        self.check("the till's view has no contacts", not who.HasField("contacts") and not who.identifiers, who)
        answer = recognize(email("  Maria.Rossi@EXAMPLE.com "), view="PROFILE_VIEW_FULL")
        self.equal(
            "recognised by e-mail however it is typed",
            (self.outcome(answer), answer.customer.customer_id),
            ("MATCHED", "C-0001"),
        )
        self.equal("the full view has contacts", answer.customer.contacts.family_name, "Rossi")
        answer = recognize(card(CARD_NOBODY))
        self.equal(
            "an unknown card is an answer", (self.outcome(answer), answer.HasField("customer")), ("UNKNOWN", False)
        )
        answer = recognize(card(CARD_MARIA), email("luca.verdi@example.com"))
        found = (self.outcome(answer), sorted(c.customer_id for c in answer.candidates), answer.HasField("customer"))
        self.equal("identifiers of two people are ambiguous", found, ("AMBIGUOUS", ["C-0001", "C-0002"], False))
        answer = recognize(card(CARD_LUCA), view="PROFILE_VIEW_FULL")
        self.check(
            "without consent there is no history",
            not answer.customer.favourite_products and not answer.customer.spend,
            answer.customer,
        )

    def customers(self):
        enrolment = {
            "request_id": request_id(),
            "identifiers": [card(CARD_SEEN_AT_TILL), email("anna.neri@example.com")],
            "contacts": {"given_name": "Anna", "family_name": "Neri"},
            "consents": [{"purpose": "CONSENT_PURPOSE_PROFILING", "granted": True}],
        }
        first = self.call("CustomerService", "CreateCustomer", **enrolment)
        who = first.customer
        self.check(
            "CreateCustomer enrols the provisional customer with its history",
            first.created and who.purchase_count == 1 and not who.provisional,
            first,
        )
        self.equal(
            "CreateCustomer retried answers the same",
            self.call("CustomerService", "CreateCustomer", **enrolment),
            first,
        )
        anew = self.call("CustomerService", "CreateCustomer", **{**enrolment, "request_id": request_id()})
        self.equal("enrolled once", (anew.created, anew.customer.customer_id), (False, who.customer_id))
        self.refused(
            "enrolment with identifiers of two people",
            "ALREADY_EXISTS",
            "IDENTIFIER_CONFLICT",
            lambda: self.call(
                "CustomerService",
                "CreateCustomer",
                request_id=request_id(),
                identifiers=[card(CARD_MARIA), card(CARD_LUCA)],
            ),
        )
        before = self.call("CustomerService", "GetCustomer", customer_id="C-0001")
        self.equal("GetCustomer gives the whole profile", before.contacts.given_name, "Maria")
        update = {"request_id": request_id(), "customer_id": "C-0001", "update": {"contacts": {"town": "Firenze"}}}
        after = self.call("CustomerService", "UpdateCustomer", **update, update_mask="contacts.town", etag=before.etag)
        self.equal(
            "UpdateCustomer changes what the mask names and nothing else",
            (after.contacts.town, after.contacts.given_name),
            ("Firenze", "Maria"),
        )
        update["request_id"] = request_id()
        self.refused(
            "an update based on an old etag",
            "ABORTED",
            "ETAG_MISMATCH",
            lambda: self.call("CustomerService", "UpdateCustomer", **update, etag=before.etag),
        )
        self.refused(
            "GetCustomer of nobody",
            "NOT_FOUND",
            "UNKNOWN_CUSTOMER",
            lambda: self.call("CustomerService", "GetCustomer", customer_id="C-9999"),
        )

    def stock_by_call(self):
        count = {
            "request_id": request_id(),
            "sku": HAM,
            "store_id": FLORENCE,
            "on_hand": {"thousandths": 4_250, "unit": "UNIT_KG"},
        }
        first = self.call("InventoryService", "SetStockCount", **count, as_of_time=self.ago(10))
        self.equal("SetStockCount in thousandths of a kilogram", first.on_hand_thousandths, 4_250)
        again = self.call("InventoryService", "SetStockCount", **count, as_of_time=self.ago(10))
        self.equal("SetStockCount retried answers the same", again, first)
        moved = {
            "request_id": request_id(),
            "sku": HAM,
            "store_id": FLORENCE,
            "delta": {"thousandths": -250},
            "reason": "ADJUSTMENT_REASON_SHRINKAGE",
        }
        self.equal(
            "AdjustStock moves by a difference",
            self.call("InventoryService", "AdjustStock", **moved).on_hand_thousandths,
            4_000,
        )
        self.call("InventoryService", "AdjustStock", **moved)
        self.equal("AdjustStock retried moves once", self.stock(HAM, FLORENCE).on_hand_thousandths, 4_000)
        moved["delta"] = {"thousandths": -300}
        self.refused(
            "a request_id with another payload",
            "INVALID_ARGUMENT",
            "REQUEST_ID_REUSED",
            lambda: self.call("InventoryService", "AdjustStock", **moved),
        )
        count["request_id"] = request_id()
        self.refused(
            "a count older than the last one",
            "FAILED_PRECONDITION",
            "COUNT_TOO_OLD",
            lambda: self.call("InventoryService", "SetStockCount", **count, as_of_time=self.ago(20)),
        )
        pairs = [{"sku": HAM, "store_id": FLORENCE}, {"sku": COFFEE, "store_id": ROME}]
        levels = self.call("InventoryService", "BatchGetAvailability", requests=pairs).levels
        self.equal(
            "BatchGetAvailability answers in the order asked", [x.on_hand_thousandths for x in levels], [4_000, 50_000]
        )

    def offers(self):
        def put(offer_id, **content):
            base = {"offer_id": offer_id, "display_name": offer_id, "value": euros(80), "base_propensity": 0.2}
            return self.call("OfferService", "PutOffer", request_id=request_id(), offer={**base, **content})

        stored = put(
            "coffee-10",
            text="10 % in meno sul caffè",
            target_skus=[COFFEE],
            reward={"percent_off_basis_points": 1000},
            computed_by="REWARD_COMPUTED_BY_SERVER",
        )
        self.check("PutOffer answers the offer with its etag", stored.offer_id == "coffee-10" and stored.etag, stored)
        put("big-basket", minimum_basket=euros(10_000), reward={"amount_off": euros(500)})
        put("for-marketing", required_consents=["CONSENT_PURPOSE_MARKETING"], reward={"extra_points": 100})
        put("prato-only", store_ids=[PRATO], reward={"extra_points": 50})
        put("tobacco", target_skus=[TOBACCO], reward={"percent_off_basis_points": 500})

        ask = {
            "identifiers": [card(CARD_MARIA)],
            "store_id": FLORENCE,
            "lines": [
                {"line_id": "a", "scanned_code": COFFEE_GTIN, "quantity": pieces(2)},
                {"line_id": "b", "sku": MILK},
            ],
        }
        decision = self.call("OfferService", "NextBestOffer", **ask)
        self.equal("NextBestOffer ranks what fits", [offer.offer_id for offer in decision.ranked_offers], ["coffee-10"])
        excluded = {
            x.offer_id: self.surface.enum_name(x, "reason").removeprefix("EXCLUSION_REASON_")
            for x in decision.exclusions
        }
        wanted = {
            "big-basket": "MINIMUM_BASKET",
            "for-marketing": "CONSENT_MISSING",
            "prato-only": "STORE",
            "tobacco": "PROMOTION_RESTRICTED",
        }
        self.equal("and says why not for the others", excluded, wanted)
        best = decision.ranked_offers[0]
        score = best.propensity * best.context_weight * best.value.minor_units * best.lever
        self.check("the score is the product of its factors", abs(best.score - score) <= 1e-9 * max(1.0, score), best)
        self.check("with a reason for people", best.reasons and best.text, best)
        rewards = [(reward.line_id, reward.amount.minor_units) for reward in best.line_rewards]
        self.equal("ten percent of two packets, to the cent", rewards, [("a", 92)])
        self.equal(
            "the same question has the same answer",
            self.call("OfferService", "NextBestOffer", **ask).decision_id,
            decision.decision_id,
        )
        anonymous = self.call("OfferService", "NextBestOffer", store_id=FLORENCE, lines=ask["lines"])
        self.equal(
            "an unknown customer is offered something too, from context alone",
            (len(anonymous.ranked_offers), anonymous.personalised),
            (1, False),
        )

        outcomes = [
            {"decision_id": decision.decision_id, "offer_id": "coffee-10", "type": f"OUTCOME_TYPE_{kind}"}
            for kind in ("IMPRESSION", "ACCEPT")
        ]
        report = {"request_id": request_id(), "outcomes": outcomes}
        first = self.call("OfferService", "ReportOutcomes", **report)
        self.equal("ReportOutcomes counts", (first.accepted, first.duplicates), (2, 0))
        self.equal(
            "ReportOutcomes retried answers the same", self.call("OfferService", "ReportOutcomes", **report), first
        )
        anew = self.call("OfferService", "ReportOutcomes", request_id=request_id(), outcomes=outcomes)
        self.equal("an outcome counts once", (anew.accepted, anew.duplicates), (0, 2))

        archived = self.call("OfferService", "ArchiveOffer", request_id=request_id(), offer_id="prato-only")
        listed = [offer.offer_id for offer in self.call("OfferService", "ListOffers").offers]
        kept = self.call("OfferService", "GetOffer", offer_id="prato-only").archived
        self.check(
            "an archived offer is readable but no longer listed",
            archived.archived and kept and "prato-only" not in listed,
            listed,
        )

    def plans(self):
        basket = [
            {"line_id": "1", "sku": COFFEE, "quantity": pieces(2)},
            {"line_id": "2", "sku": MILK, "quantity": pieces(3)},
        ]
        plan = self.call("FulfillmentService", "PlanFulfillment", origin={"location": at(FLORENCE)}, lines=basket)
        self.equal(
            "PlanFulfillment finds the nearest store with all of it",
            (self.outcome(plan), [o.legs[0].store_id for o in plan.options]),
            ("MATCHED", [PRATO]),
        )
        leg = plan.options[0].legs[0]
        wanted = distance_meters(FLORENCE, PRATO)
        self.check(
            "at its great-circle distance", abs(leg.distance_meters - wanted) <= 0.001, (leg.distance_meters, wanted)
        )
        window = leg.pickup_window
        self.check(
            "with a pickup window in its time zone",
            leg.store_time_zone == "Europe/Rome" and window.start_time.seconds < window.end_time.seconds,
            leg,
        )
        nearer = [(s.store_id, self.surface.enum_name(s, "reason")) for s in plan.rejected_stores]
        self.equal(
            "and says why the nearer one was not taken", nearer, [(FLORENCE, "STORE_REJECTION_INSUFFICIENT_STOCK")]
        )
        far = self.call(
            "FulfillmentService",
            "PlanFulfillment",
            origin={"store_id": FLORENCE},
            lines=basket,
            max_distance_meters=1_000_000,
        )
        self.equal("farther stores come after", [o.legs[0].store_id for o in far.options], [PRATO, ROME])
        too_many = [{"sku": COFFEE, "quantity": pieces(1)}, {"sku": MILK, "quantity": pieces(9)}]
        plan = self.call("FulfillmentService", "PlanFulfillment", origin={"location": at(FLORENCE)}, lines=too_many)
        self.equal(
            "a part of the basket is an answer too",
            (self.outcome(plan), [p.store_id for p in plan.partial_options]),
            ("PARTIAL", [FLORENCE, PRATO]),
        )
        self.refused(
            "a plan for an unknown SKU",
            "NOT_FOUND",
            "UNKNOWN_SKU",
            lambda: self.call(
                "FulfillmentService", "PlanFulfillment", origin={"store_id": FLORENCE}, lines=[{"sku": "never-seen"}]
            ),
        )

    def reservations(self):
        def reserve(order, milk=3, **more):
            content = {
                "request_id": request_id(),
                "order_id": order,
                "origin": {"location": at(FLORENCE)},
                "lines": [{"sku": COFFEE, "quantity": pieces(2)}, {"sku": MILK, "quantity": pieces(milk)}],
                "hold_duration": "900s",
                **more,
            }
            return content, self.call("FulfillmentService", "ReserveFulfillment", **content)

        content, held = reserve("order-1")
        leg = held.legs[0]
        self.equal(
            "ReserveFulfillment holds all lines at the nearest store", (self.state(held), leg.store_id), ("HELD", PRATO)
        )
        self.equal("every line in full", [line.quantity_reserved.thousandths for line in leg.lines], [2_000, 3_000])
        self.equal(
            "ReserveFulfillment retried answers the same",
            self.call("FulfillmentService", "ReserveFulfillment", **content),
            held,
        )
        level = self.stock(MILK, PRATO)
        self.equal(
            "it holds the stock once", (level.reserved_thousandths, level.available_online_thousandths), (3_000, 5_000)
        )
        _, replaced = reserve("order-1", milk=4)
        self.equal("another call for the order replaces its hold", self.stock(MILK, PRATO).reserved_thousandths, 4_000)
        read = self.call("FulfillmentService", "GetReservation", reservation_id=replaced.reservation_id)
        self.equal("GetReservation answers it", (read.order_id, self.state(read)), ("order-1", "HELD"))
        # Rome has enough, but lies beyond the default range.
        self.refused(
            "a basket that no store in range has",
            "FAILED_PRECONDITION",
            "INSUFFICIENT_STOCK",
            lambda: reserve("order-2", milk=5),
        )
        self.equal("a refused basket holds nothing", self.stock(COFFEE, PRATO).reserved_thousandths, 2_000)

        def change(method, reservation):
            return self.call(
                "FulfillmentService", method, request_id=request_id(), reservation_id=reservation.reservation_id
            )

        self.equal("ConfirmReservation", self.state(change("ConfirmReservation", replaced)), "CONFIRMED")
        self.equal("ConfirmReservation twice is once", self.state(change("ConfirmReservation", replaced)), "CONFIRMED")
        level = self.stock(MILK, PRATO)
        self.equal(
            "what was reserved is committed", (level.reserved_thousandths, level.committed_thousandths), (0, 4_000)
        )
        _, other = reserve("order-3", milk=1)
        self.equal("ReleaseReservation", self.state(change("ReleaseReservation", other)), "RELEASED")
        self.equal("ReleaseReservation twice is once", self.state(change("ReleaseReservation", other)), "RELEASED")
        self.equal("its stock is free at once", self.stock(MILK, PRATO).reserved_thousandths, 0)
        self.refused(
            "confirming what was released",
            "FAILED_PRECONDITION",
            "RESERVATION_ENDED",
            lambda: change("ConfirmReservation", other),
        )
        self.refused(
            "a reservation nobody made",
            "NOT_FOUND",
            "UNKNOWN_RESERVATION",
            lambda: self.call("FulfillmentService", "GetReservation", reservation_id="none"),
        )
        handover = {
            "event_id": "handover-1",
            "source": "pos",
            "transaction": self.receipt(
                PRATO, 21, [(COFFEE, 2, 918), (MILK, 4, 676)], reservation_id=replaced.reservation_id
            ),
        }
        self.equal(
            "the receipt of the pickup",
            self.acks(self.call("IngestService", "IngestBatch", events=[handover])),
            ["ACCEPTED"],
        )
        settled = self.call("FulfillmentService", "GetReservation", reservation_id=replaced.reservation_id)
        level = self.stock(MILK, PRATO)
        found = (self.state(settled), level.on_hand_thousandths, level.committed_thousandths)
        self.equal("settles the reservation and moves stock once", found, ("FULFILLED", 6_000, 0))

    def errors(self):
        def bad():
            return self.call(
                "FulfillmentService",
                "ReserveFulfillment",
                origin={"location": {"latitude": 91, "longitude": 11}},
                lines=[{"sku": COFFEE, "quantity": pieces(-1)}],
            )

        refused = self.refused("a request with many mistakes", "INVALID_ARGUMENT", "INVALID_FIELD", bad)
        fields = set(refused.fields) if refused else set()
        wanted = {"request_id", "order_id", "origin.location.latitude", "lines[0].quantity"}
        self.check("names every bad field at once", all(any(f.startswith(w) for f in fields) for w in wanted), fields)
        self.check(
            "with a sentence for each", refused is not None and all(refused.fields.values()), refused and refused.fields
        )

        # Nothing that the transport refuses reaches the service, so there is no ErrorInfo.
        identifiers = [card("9" * 100) for _ in range(1000)]
        try:
            self.call("CustomerService", "RecognizeCustomer", identifiers=identifiers)
            code = "OK"
        except Refused as refused:
            code = refused.code.name
        self.equal("a message that is too large is refused unread", code, "OUT_OF_RANGE")

    def deadlines(self):
        ask = {"identifiers": [card(CARD_MARIA)], "store_id": FLORENCE}
        for timeout in (0.000_001, 0.001, 1.0):
            began = time.monotonic()
            try:
                self.surface.call("CustomerService", "RecognizeCustomer", ask, timeout=timeout)
                ended = "OK"
            except Refused as refused:
                ended = refused.code.name
            took = time.monotonic() - began
            allowed = ("OK",) if timeout >= 1.0 else ("OK", "DEADLINE_EXCEEDED")
            self.check(
                f"a deadline of {timeout * 1000:g} ms is met or missed, and never hangs",
                ended in allowed and took < timeout + 2.0,
                (ended, took),
            )
        # A write whose answer was lost is sent again with the same request_id, and happens once.
        before = self.stock(COFFEE, ROME).on_hand_thousandths
        move = {
            "request_id": request_id(),
            "sku": COFFEE,
            "store_id": ROME,
            "delta": pieces(7),
            "reason": "ADJUSTMENT_REASON_RECEIPT",
        }
        try:
            self.surface.call("InventoryService", "AdjustStock", move, timeout=0.000_5)
        except Refused as refused:
            self.equal("a write whose deadline passed says so", refused.code, grpc.StatusCode.DEADLINE_EXCEEDED)
        self.call("InventoryService", "AdjustStock", **move)
        self.equal(
            "and its retry moves the stock exactly once", self.stock(COFFEE, ROME).on_hand_thousandths, before + 7_000
        )

    def checkout(self):
        def evaluate(revision, coffees, hold):
            return self.call(
                "CheckoutService",
                "EvaluateCheckout",
                checkout_id="basket-77",
                revision=revision,
                request_id=request_id(),
                identifiers=[card(CARD_MARIA)],
                store_id=FLORENCE,
                lines=[
                    {"line_id": "1", "scanned_code": COFFEE_GTIN, "quantity": pieces(coffees)},
                    {"line_id": "2", "sku": "gift-wrap"},
                ],
                fulfillment={"hold": hold, "lines": [{"sku": COFFEE, "quantity": pieces(coffees)}]},
            )

        answer = evaluate(1, 1, hold=False)
        found = (answer.revision, self.outcome(answer.recognition), answer.recognition.customer.customer_id)
        self.equal("EvaluateCheckout recognises", found, (1, "MATCHED", "C-0001"))
        self.check(
            "offers", "coffee-10" in [offer.offer_id for offer in answer.decision.ranked_offers], answer.decision
        )
        self.equal(
            "and plans in one round trip",
            (self.outcome(answer.plan), answer.plan.options[0].legs[0].store_id),
            ("MATCHED", FLORENCE),
        )
        self.equal("names the lines it does not know", list(answer.unknown_line_ids), ["2"])
        held = evaluate(2, 2, hold=True)
        self.equal("a later revision can hold the basket", self.state(held.reservation), "HELD")
        evaluate(4, 3, hold=True)
        self.equal("and replaces the hold of the one before", self.stock(COFFEE, FLORENCE).reserved_thousandths, 3_000)
        late = evaluate(3, 9, hold=True)
        self.equal(
            "a revision that comes late changes nothing",
            (late.superseded, self.stock(COFFEE, FLORENCE).reserved_thousandths),
            (True, 3_000),
        )
        close = {"request_id": request_id(), "checkout_id": "basket-77", "result": "CHECKOUT_RESULT_COMPLETED"}
        closed = self.call("CheckoutService", "CloseCheckout", **close)
        self.equal("CloseCheckout confirms the hold", self.state(closed.reservation), "CONFIRMED")
        self.equal(
            "CloseCheckout retried answers the same", self.call("CheckoutService", "CloseCheckout", **close), closed
        )
        close["request_id"] = request_id()
        close["result"] = "CHECKOUT_RESULT_CANCELLED"
        again = self.call("CheckoutService", "CloseCheckout", **close)
        self.equal(
            "closed is closed",
            (self.surface.enum_name(again, "result"), self.state(again.reservation)),
            ("CHECKOUT_RESULT_COMPLETED", "CONFIRMED"),
        )

    def the_page_for_pos_vendors(self):
        names = page.example(self.server.folder)
        with names["open_channel"](self.server.target) as channel:
            texts = names["checkout"](
                channel, FLORENCE, "till-9", 501, CARD_MARIA, [(COFFEE_GTIN, 459), (COFFEE_GTIN, 459)]
            )
        self.equal("its example shows the customer and the offer", texts, ["Maria R.", "10 % in meno sul caffè"])
        who = self.call("CustomerService", "RecognizeCustomer", identifiers=[card(CARD_MARIA)]).customer
        self.equal(
            "and its receipt counts for the customer",
            (who.purchase_count, who.spend[0].net_amount.minor_units),
            (3, 1377 + 918),
        )

    def the_server_itself(self):
        info = self.call("OperationsService", "GetServerInfo", include_state_digest=True)
        counts = info.counts
        self.check(
            "GetServerInfo says what runs", info.version and info.format_version >= 1 and not info.simulated_clock, info
        )
        self.equal("and what it holds", (counts.stores, counts.products, counts.customers, counts.offers), (3, 5, 3, 5))
        self.check(
            "with a digest of its state",
            info.state_digest and 0 < info.state_digest_sequence <= info.durable_sequence,
            info,
        )
        simulated = "tillside.v1.SimulationService" in self.surface.services
        if simulated:
            try:
                self.call("SimulationService", "AdvanceClock", now=self.ago(-60))
                ended = "OK"
            except Refused as refused:
                ended = refused.code.name
            self.equal("the clock of a server in production cannot be moved", ended, "UNIMPLEMENTED")
        self.check(
            "every call carried the trailer with the server's own time",
            not self.surface.untimed,
            sorted(set(self.surface.untimed)),
        )
        return info.state_digest

    # -- the whole of it --------------------------------------------------------------------------------------------

    def section(self, act):
        """Runs one part; a call that ended otherwise than expected fails it and the next part still runs."""
        print(f"\n-- {act.__name__.replace('_', ' ')}")
        try:
            return act()
        except Exception as error:  # the reason is printed and counted
            where = traceback.extract_tb(error.__traceback__)
            line = next(
                (frame.lineno for frame in where if frame.filename == __file__ and frame.name == act.__name__), "?"
            )
            self.check(f"{act.__name__} runs to its end", False, f"line {line}: {type(error).__name__}: {error}")
            return None

    def run(self):
        for part in (
            self.surface_by_reflection,
            self.health_and_http,
            self.stores_and_products,
            self.events_in_a_batch,
            self.events_in_a_stream,
            self.recognition,
            self.customers,
            self.stock_by_call,
            self.offers,
            self.plans,
            self.reservations,
            self.errors,
            self.deadlines,
            self.checkout,
            self.the_page_for_pos_vendors,
        ):
            self.section(part)
        return self.section(self.the_server_itself)

    def digest_after_restart(self, server):
        """The same data folder in a new process."""
        self.server = server
        before, self.surface = self.surface, Surface(server.target)
        if before:
            before.close()
            self.surface.times_us = before.times_us
        return self.call("OperationsService", "GetServerInfo", include_state_digest=True).state_digest


def main():
    binary = sys.argv[1]
    with tempfile.TemporaryDirectory(prefix="tillside-foreign-") as folder:
        server = Server(binary, folder)
        tour = Tour(server)
        try:
            server.wait_until_serving()
            digest = tour.run()
            print("\n-- stop and start again")
            tour.equal("SIGTERM ends the server with status 0", server.stop(), 0)
            server = Server(binary, folder)
            server.wait_until_serving()
            tour.equal("started again it has the same state", tour.digest_after_restart(server), digest)
            tour.equal("and ends with status 0 again", server.stop(), 0)
        except Exception as error:  # a server that does not start is one failed check, with its log
            tour.check("the server starts and stops", False, f"{type(error).__name__}: {error}")
        finally:
            server.stop()
            if tour.failed:
                print(f"\nThe end of the server's log:\n{server.tail()}")
        if tour.surface:
            print("\nserver time, µs (median of calls)")
            for name, times in sorted(tour.surface.times_us.items()):
                print(f"  {name:<42} {sorted(times)[len(times) // 2]:>8.0f}  ({len(times)})")
            tour.surface.close()
    print(f"\n{tour.passed} passed, {tour.failed} failed")
    return 1 if tour.failed else 0


if __name__ == "__main__":
    sys.exit(main())
