from config.kernel.errors import ApplicationError


class StockShort(ApplicationError):
    code, status = "stock_short", 409
    message = "Only {left} of {sku} are left."


def test_the_message_is_filled_from_the_data() -> None:
    error = StockShort(sku="A1", left=2)
    assert str(error) == "Only 2 of A1 are left."
    assert error.data == {"sku": "A1", "left": 2}
    assert (error.code, error.status) == ("stock_short", 409)
