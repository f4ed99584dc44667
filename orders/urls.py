"""Addresses of orders and items."""

from django.urls import URLPattern, URLResolver, path

from orders import views

urlpatterns: list[URLPattern | URLResolver] = [
    path("orders/<key:id>", views.order, name="order"),
    path("orders", views.OrderList.as_view(), name="orders"),
    path("orders/<key:id>/lines", views.OrderLines.as_view(), name="order-lines"),
    path("orders/<key:id>/status", views.OrderStatus.as_view(), name="order-status"),
    path("orders/<key:id>/cancel", views.OrderCancel.as_view(), name="order-cancel"),
    path("items", views.ItemList.as_view(), name="items"),
    path("items/<key:sku>", views.ItemDetail.as_view(), name="item"),
    path("items/<key:sku>/retire", views.ItemRetire.as_view(), name="item-retire"),
]
