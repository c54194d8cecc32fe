"""Which hosts a campaign may list, and which URLs are on them."""

from __future__ import annotations

import pytest

from catalogs.storage.web_urls import BadUrl, Hosts, WebUrl, host_entry, is_web

LISTED = {
    "cdn.shopify.com": "cdn.shopify.com",
    " CDN.Shopify.com ": "cdn.shopify.com",
    "cdn.shopify.com.": "cdn.shopify.com",
    "cdn.shopify.com:443": "cdn.shopify.com",
    "cdn.shopify.com:8443": "cdn.shopify.com:8443",
    "http://old.shop.de": "http://old.shop.de",
    "HTTP://old.shop.de:80": "http://old.shop.de",
    "http://old.shop.de:8080": "http://old.shop.de:8080",
    "*.shop.de": "*.shop.de",
    "bücher.example": "xn--bcher-kva.example",
    "例え.テスト": "xn--r8jz45g.xn--zckzah",
    "my_shop.b-cdn.net": "my_shop.b-cdn.net",
}
NOT_LISTED = {
    "https://cdn.shopify.com": "a host is listed without https://; write its name alone",
    "ftp://cdn.shopify.com": "a host is listed without https://",
    "://cdn.shopify.com": "a host is listed without https://",
    "cdn.shopify.com/files": "a host has no path and no user name",
    "key:secret@cdn.shopify.com": "a host has no path and no user name",
    "cdn.shopify.com?x": "a host has no path and no user name",
    "": "names an address, not a host|names no host",
    "*": "names no host",
    "*.com": "is no host of the internet|stands for too many hosts",
    "a.*.com": "names no host",
    "localhost": "'localhost' is no host of the internet",
    "intranet": "'intranet' is no host of the internet",
    "127.0.0.1": "names an address, not a host",
    "10.0.0.1:8080": "names an address, not a host",
    "[::1]": "names an address, not a host",
    "0x7f.1": "names an address, not a host",
    "2130706433": "names an address, not a host",
    "１２７.0.0.1": "names an address, not a host",
    "cdn.shopify.com:0": "'0' is no port",
    "cdn.shopify.com:65536": "'65536' is no port",
    "cdn.shopify.com:http": "'http' is no port",
    "cdn..com": "names no host",
    "-cdn.com": "names no host",
    "cdn shop.com": "names no host",
    "c%64n.shop.com": "names no host",
    "a" * 64 + ".com": "names no host",
    ".".join(["abcdefgh"] * 40): "names no host",
}
HOSTS = Hosts(("cdn.shop.de", "http://old.shop.de", "*.files.shop.de", "big.shop.de:8443", "http://dev.shop.de:8080"))
ON_THEM = {
    "https://cdn.shop.de/a.png": True,
    "https://cdn.shop.de:443/a.png": True,
    "HTTPS://CDN.SHOP.DE/a.png": True,
    "https://cdn.shop.de./a.png": True,
    "https://cdn.shop.de": True,
    "https://cdn.shop.de?x=1": True,
    "http://cdn.shop.de/a.png": False,
    "https://cdn.shop.de:8443/a.png": False,
    "https://cdn.shop.de:80/a.png": False,
    "https://cdn.shop.de.evil.com/a.png": False,
    "https://evilcdn.shop.de/a.png": False,
    "http://old.shop.de/a.png": True,
    "https://old.shop.de/a.png": True,
    "http://old.shop.de:443/a.png": False,
    "https://a.files.shop.de/a.png": True,
    "https://a.b.files.shop.de/a.png": True,
    "https://files.shop.de/a.png": False,
    "https://evilfiles.shop.de/a.png": False,
    "https://big.shop.de:8443/a.png": True,
    "https://big.shop.de/a.png": False,
    "http://dev.shop.de:8080/a.png": True,
    "https://dev.shop.de/a.png": False,
}
NO_URLS = {
    "https://": "names",
    "https:///a.png": "names",
    "https://user:secret@cdn.shop.de/a.png": "must not carry secrets",
    "https://cdn.shop.de@evil.com/a.png": "must not carry secrets",
    "https://cdn.shop.de\\@evil.com/a.png": "is no URL",
    "https://cdn.shop.de/a\tb.png": "is no URL",
    "https://cdn.shop.de/a\r\nHost: evil.com": "is no URL",
    "https://cdn.shop.de/\x00": "is no URL",
    "https://cdn.shop.de/\ud800": "is no URL",
    "https://cdn.shop.de/\u202egnp.a": "is no URL",
    "https://cdn.shop.de:99999/a.png": "is no port",
    "https://cdn.shop.de/" + "a" * 5000: "longer than 4096",
    "https://[::1]/a.png": "names an address",
    "https://[fe80::1%25eth0]/a.png": "names an address",
    "https://127.0.0.1/a.png": "names an address",
    "https://127.1/a.png": "names an address",
    "https://0177.0.0.1/a.png": "names an address",
    "https://0x7f000001/a.png": "names an address",
    "https://2130706433/a.png": "names an address",
    "https://cdn%2eshop%2ede/a.png": "names no host",
}


@pytest.mark.parametrize("text", LISTED)
def test_an_entry_is_compared_as_dns_compares(text: str) -> None:
    assert host_entry(text) == LISTED[text]
    assert host_entry(host_entry(text)) == LISTED[text]


@pytest.mark.parametrize("text", NOT_LISTED)
def test_what_is_no_host_is_not_listed(text: str) -> None:
    with pytest.raises(BadUrl, match=NOT_LISTED[text]):
        host_entry(text)


@pytest.mark.parametrize("url", ON_THEM)
def test_a_url_is_on_a_listed_host_or_not(url: str) -> None:
    refusal = HOSTS.refusal(WebUrl.of(url))
    assert (refusal is None) == ON_THEM[url]
    if refusal:
        entry = refusal[1].removeprefix("add ").partition(" ")[0]
        assert refusal[0] == f"{entry} is no host of this campaign"
        assert Hosts((host_entry(entry),)).refusal(WebUrl.of(url)) is None  # the advice mends it


@pytest.mark.parametrize("text", NO_URLS)
def test_what_is_no_url_is_not_asked_for(text: str) -> None:
    assert is_web(text)
    with pytest.raises(BadUrl, match=NO_URLS[text]):
        WebUrl.of(text)


def test_a_path_is_sent_as_browsers_send_it() -> None:
    assert (
        WebUrl.of("https://a.de/größe 1/x%20y.png?v=1&w=ü#part").target == "/gr%C3%B6%C3%9Fe%201/x%20y.png?v=1&w=%C3%BC"
    )
    assert WebUrl.of("https://a.de?v=1").target == "/?v=1"
    assert not any(map(is_web, ("a.png", "/https://a.de", "s3://https", "https:/a.de", "httpss://a.de", "ftp://a.de")))


def test_a_redirect_is_read_from_where_it_leads_away() -> None:
    here = WebUrl.of("https://a.de/x/y.png?q")
    leads = {"z.png": "/x/z.png", "/z.png": "/z.png", "?r": "/x/y.png?r", "//b.de/z": "/z", "http://b.de/z": "/z"}
    assert {location: here.joined(location).target for location in leads} == leads
    assert here.joined("//b.de/z").scheme == "https"
    for location in ("file:///etc/passwd", "gopher://a.de/x", "data:image/png;base64,x", "https://[/", "javascript:x"):
        with pytest.raises(BadUrl):
            here.joined(location)
