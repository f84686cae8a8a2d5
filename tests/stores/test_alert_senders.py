"""E-mail and webhook against real servers: what arrives, and what a refusal is worth."""

import base64
import json
import time
from dataclasses import replace

import pytest
from receivers import LOGIN, certificate, silent_server, smtp_server, webhook_receiver
from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from crm_resources import alerts
from crm_resources.alerts import EmailSender, Message, SendError, WebhookSender, webhook_key

SECRET = "whsec_" + base64.b64encode(b"chave-canario-de-assinatura-32by").decode()
MESSAGE = Message(
    id="msg_prd_default_7_1",
    kind="alert.opened",
    subject="[CRM prd] Falhou a leitura\nda Hotmart",
    text="Causa: a conexão caiu.\nO que fazer: é só esperar.\n",
    data={"tenant": "default", "incident": 7},
)


@pytest.fixture(scope="module")
def tls(tmp_path_factory):
    return certificate(tmp_path_factory.mktemp("tls"))


@pytest.fixture
def trusted(tls, monkeypatch):
    """The server side of a certificate that this process trusts."""
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[0]))
    return tls[1]


def sender(box, **more):
    values = {
        "host": "localhost",
        "port": box.port,
        "sender": "crm@example.com",
        "recipients": ("ana@example.com", "bia@example.com"),
        "security": "none",
    }
    return EmailSender(**values | more)


def refusal(sender, message=MESSAGE):
    """Sentence and fate of a message that must not arrive."""
    with pytest.raises(SendError) as refused:
        sender.send(message)
    for secret in (*LOGIN, "example.com", "caminho-secreto", message.text):
        assert secret not in str(refused.value)
    return str(refused.value), refused.value.fate


def test_an_email_arrives_as_it_was_written():
    with smtp_server() as box:
        sender(box).send(MESSAGE)
    (mail,) = box.mails
    assert mail["Subject"] == "[CRM prd] Falhou a leitura da Hotmart"
    assert mail["To"] == "ana@example.com, bia@example.com"
    assert mail["From"] == "crm@example.com"
    assert mail["Message-ID"] == "<msg_prd_default_7_1@example.com>"
    assert mail.get_content().replace("\r\n", "\n") == MESSAGE.text


def test_an_email_goes_out_logged_in_over_starttls(trusted):
    with smtp_server(starttls=trusted, auth=True) as box:
        encrypted = sender(box, security="starttls")
        replace(encrypted, username=LOGIN[0], password=LOGIN[1]).send(MESSAGE)
        wrong = replace(encrypted, username=LOGIN[0], password="errada")
        assert refusal(wrong) == (
            "o servidor SMTP recusou SMTP_USERNAME e SMTP_PASSWORD (535)",
            "pause",
        )
        assert refusal(encrypted) == (
            "o servidor SMTP exige SMTP_USERNAME e SMTP_PASSWORD (530)",
            "pause",
        )
    assert len(box.mails) == 1


def test_an_email_goes_out_encrypted_from_the_first_byte(trusted):
    with smtp_server(tls=trusted) as box:
        sender(box, security="tls").send(MESSAGE)
    assert len(box.mails) == 1


def test_no_password_is_sent_to_a_server_without_encryption():
    with smtp_server() as box:
        found = refusal(sender(box, security="starttls", username=LOGIN[0], password=LOGIN[1]))
    assert found == (
        "o servidor SMTP não oferece STARTTLS ou login; confira SMTP_PORT e SMTP_SECURE",
        "pause",
    )


def test_a_certificate_that_nobody_trusts_is_refused(tls):
    with smtp_server(starttls=tls[1]) as box:
        sentence, fate = refusal(sender(box, security="starttls"))
    assert (sentence, fate) == (
        "a conexão com SMTP_HOST falhou (SSLCertVerificationError)",
        "retry",
    )


@pytest.mark.parametrize(
    ("rcpt", "data", "expected"),
    [
        ("550 no", "", ("o servidor SMTP recusou os destinatários de ALERT_EMAILS (550)", "drop")),
        ("450 on", "", ("o servidor SMTP recusou os destinatários de ALERT_EMAILS (450)", "retry")),
        ("", "554 no", ("o servidor SMTP recusou a mensagem (554)", "drop")),
        ("", "451 on", ("o servidor SMTP recusou a mensagem (451)", "retry")),
    ],
)
def test_a_refusal_is_named_and_only_a_passing_one_is_tried_again(rcpt, data, expected):
    with smtp_server() as box:
        box.rcpt = dict.fromkeys(("ana@example.com", "bia@example.com"), rcpt) if rcpt else {}
        box.data = data
        assert refusal(sender(box)) == expected
    assert box.mails == []


def test_one_refused_recipient_is_told_and_the_other_gets_no_second_copy():
    with smtp_server() as box:
        box.rcpt = {"bia@example.com": "550 no"}
        found = refusal(sender(box))
    assert found == (
        "o servidor SMTP recusou 1 de 2 destinatários de ALERT_EMAILS (550)",
        "drop",
    )
    assert len(box.mails) == 1


@pytest.mark.parametrize("security", ["none", "starttls", "tls"])
def test_an_smtp_server_that_hangs_is_left(monkeypatch, security):
    monkeypatch.setattr(alerts, "TIMEOUT_SECONDS", 0.2)
    started = time.monotonic()
    with silent_server() as port:
        sentence, fate = refusal(EmailSender("localhost", port, "a@b", ("c@d",), security))
    assert fate == "retry"
    assert "SMTP" in sentence
    assert time.monotonic() - started < 2


def test_an_smtp_server_that_is_not_there_is_named():
    with silent_server() as port:
        pass
    assert refusal(EmailSender("localhost", port, "a@b", ("c@d",), "none")) == (
        "a conexão com SMTP_HOST falhou (ConnectionRefusedError)",
        "retry",
    )


def test_a_webhook_is_signed_as_the_standard_says():
    with webhook_receiver() as receiver:
        WebhookSender(receiver.url, webhook_key(SECRET)).send(MESSAGE)
    (post,) = receiver.posts
    said = Webhook(SECRET).verify(post.body, post.headers)
    assert said["type"] == "alert.opened"
    assert said["data"]["text"] == MESSAGE.text
    assert said["data"]["incident"] == 7
    assert {name.lower(): text for name, text in post.headers.items()}["webhook-id"] == MESSAGE.id
    for forged in (post.body + b" ", json.dumps(said).encode()):
        with pytest.raises(WebhookVerificationError):
            Webhook(SECRET).verify(forged, post.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook("whsec_" + base64.b64encode(b"outra").decode()).verify(post.body, post.headers)


def test_a_message_sent_twice_has_one_id():
    with webhook_receiver() as receiver:
        for _ in range(2):
            WebhookSender(receiver.url, webhook_key(SECRET)).send(MESSAGE)
        WebhookSender(receiver.url, webhook_key(SECRET)).send(replace(MESSAGE, id="outra"))
    ids = [{k.lower(): v for k, v in post.headers.items()}["webhook-id"] for post in receiver.posts]
    assert ids == [MESSAGE.id, MESSAGE.id, "outra"]


@pytest.mark.parametrize(
    ("status", "fate"),
    [
        (400, "drop"),
        (404, "drop"),
        (410, "drop"),
        (422, "drop"),
        (401, "pause"),
        (403, "pause"),
        (408, "retry"),
        (429, "retry"),
        (500, "retry"),
        (503, "retry"),
        (302, "retry"),
    ],
)
def test_an_answer_that_is_not_2xx_is_named(status, fate):
    with webhook_receiver() as receiver:
        receiver.answers = [status]
        found = refusal(WebhookSender(receiver.url, webhook_key(SECRET)))
    assert found == (f"ALERT_WEBHOOK_URL respondeu {status}", fate)
    assert len(receiver.posts) == 1, "a redirection is not followed"


def test_a_webhook_that_hangs_or_is_not_there_is_named(monkeypatch):
    monkeypatch.setattr(alerts, "TIMEOUT_SECONDS", 0.2)
    with silent_server() as port:
        hung = refusal(WebhookSender(f"http://127.0.0.1:{port}/", webhook_key(SECRET)))
    gone = refusal(WebhookSender(f"http://127.0.0.1:{port}/", webhook_key(SECRET)))
    assert hung == ("ALERT_WEBHOOK_URL não respondeu em 0 s", "retry")
    assert gone == ("a conexão com ALERT_WEBHOOK_URL falhou (ConnectError)", "retry")


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "abc", SECRET.removeprefix("whsec_"), "whsec_!!", "whsec_" + "QQ==", "whsec_á"],
)
def test_a_wrong_signing_secret_is_refused(secret):
    with pytest.raises(ValueError, match="whsec_"):
        webhook_key(secret)


def test_no_secret_is_in_what_a_sender_shows_of_itself():
    shown = repr(EmailSender("h", 25, "a@b", ("c@d",), username="u", password=LOGIN[1]))
    shown += repr(WebhookSender("https://example.com/caminho-secreto", webhook_key(SECRET)))
    for secret in (LOGIN[1], "caminho-secreto", "canario-de"):
        assert secret not in shown
