"""Names that people give to our fields, so that a header suggests its own mapping."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from ingestion.profiles.fields import FIELDS

# Clear names mean one thing in an order file; vague ones count only when no clear one is there.
_CLEAR: Final[dict[str, str]] = {
    "order_id": "order_id; order number; order no; order nr; order num; order ref; order reference; order code;"
    "order; order key; invoice no; invoice; invoice number; invoice id; invoice nr; invoice num; bill no;"
    "bill number; purchase order; purchase order number; po number; sales order; sales order id; sales order number;"
    "transaction id; transaction number; receipt no; receipt number; basket id; bestellnummer; rechnungsnummer",
    "user_id": "user_id; customer id; customer no; customer number; customer nr; customer code; customer key;"
    "cust id; cust no; client id; client no; client number; client code; buyer id; account id; account number;"
    "member id; shopper id; user no; user number; kundennummer",
    "sku": "sku; stock code; item id; item no; item number; item code; item sku; product id; product no;"
    "product number; product code; product sku; article no; article number; article id; article code; part number;"
    "part no; material; material number; variant sku; lineitem sku; asin; ean; upc; gtin; artikelnummer",
    "quantity": "quantity; qty; quantity ordered; qty ordered; order qty; order quantity; ordered quantity;"
    "item quantity; line quantity; lineitem quantity; units; pieces; pcs; no of units; menge; anzahl",
    "line_no": "line_no; line number; line nr; line; line id; line num; line item; line item number; item line;"
    "order line; order line number; order line no; order line id; row no; row number; position; pos",
    "item_name": "item_name; description; item description; product name; product description; product title;"
    "article name; article description; lineitem name; item title; bezeichnung",
    "unit_price": "unit_price; unit cost; price per unit; price each; price; item price; product price; sales price;"
    "selling price; net price; lineitem price; unit price net; einzelpreis; preis",
    "currency": "currency; currency code; curr; ccy; order currency; price currency; iso currency; waehrung",
    "ordered_at": "ordered_at; invoice date; order date; order datetime; order date time; order time; date ordered;"
    "ordered on; ordered; order timestamp; order created at; order placed at; placed at; purchase date;"
    "purchased at; purchase timestamp; order purchase timestamp; invoice datetime; transaction date; sale date;"
    "sales date; bestelldatum; rechnungsdatum",
    "status": "status; order status; order state; fulfillment status; fulfilment status",
    "country": "country; order country; ship country; ship to country; shipping country; delivery country;"
    "country code; destination country; land",
    "user_name": "user_name; customer name; client name; buyer name; cust name; user full name; customer full name;"
    "full name; contact name; kundenname",
    "user_email": "user_email; email; e mail; email address; e mail address; customer email; customer e mail;"
    "customer email address; client email; buyer email; user e mail; mail; contact email",
    "user_age": "user_age; age; customer age; client age; buyer age; age years",
    "user_country": "user_country; customer country; client country; buyer country; billing country; bill to country",
    "roles": "roles; role; user roles; user role",
}
_VAGUE: Final[dict[str, str]] = {
    "order_id": "id; number; reference; transaction; receipt; bill; order name",
    "user_id": "user; customer; client; buyer; account; member; shopper",
    "sku": "item; product; article; part; code",
    "quantity": "count; amount ordered",
    "item_name": "title; product title name",
    "unit_price": "cost; rate",
    "ordered_at": "date; datetime; date time; timestamp; time; created at; created; created on",
    "status": "state",
    "country": "nation; region country",
    "user_name": "name",
}


def normalise(name: str) -> str:
    """
    Reduce a column name to what matters: `"Invoice No."`, `InvoiceNo`, `INVOICE_NO` all become `invoiceno`.

    Accents are dropped, and everything that is not a letter or a digit.
    """
    plain = unicodedata.normalize("NFKD", name).casefold()
    return re.sub(r"[^\w]|_", "", "".join(char for char in plain if not unicodedata.combining(char)))


def _table(names: dict[str, str]) -> dict[str, str]:
    return {normalise(name): field for field, listed in names.items() for name in listed.split(";")}


OWN: Final[dict[str, str]] = {normalise(name): name for name in FIELDS}
CLEAR: Final = _table(_CLEAR)
VAGUE: Final = _table(_VAGUE)


def rank(name: str, field: str) -> int | None:
    """
    How well a column name suggests a field: 0 = our own name, 1 = a clear synonym, 2 = a vague one, None = not at all.
    """
    key = normalise(name)
    for value, table in enumerate((OWN, CLEAR, VAGUE)):
        if table.get(key) == field:
            return value
    return None
