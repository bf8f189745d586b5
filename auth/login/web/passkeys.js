// Forms that need a passkey: data-passkey says for what, data-from where the
// browser's part of the question comes from, or data-options what it is.
'use strict';

const able = window.PublicKeyCredential && PublicKeyCredential.parseRequestOptionsFromJSON;

async function question(form) {
  if (form.dataset.options) return JSON.parse(form.dataset.options).publicKey;
  const response = await fetch(form.dataset.from, { method: 'POST', body: new URLSearchParams(new FormData(form)) });
  const body = await response.json();
  if (!response.ok) throw new Error(body.error);
  return body.publicKey;
}

async function answer(form) {
  const options = await question(form);
  const credential = form.dataset.passkey === 'create'
    ? await navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : await navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
  return JSON.stringify(credential.toJSON());
}

for (const form of document.querySelectorAll('form[data-passkey]')) {
  const place = form.querySelector('[data-answer]');
  const alert = form.querySelector('[data-trouble]');
  if (!able) {
    alert.textContent = 'This browser can\u2019t use passkeys.';
    alert.hidden = false;
    continue;
  }
  form.addEventListener('submit', async (event) => {
    if (place.value) return;
    event.preventDefault();
    alert.hidden = true;
    // The application is chosen in the form beside.
    const chosen = document.querySelector('#application');
    if (chosen && form.elements.application && form.elements.application !== chosen) form.elements.application.value = chosen.value;
    try {
      place.value = await answer(form);
      form.submit();
    } catch (error) {
      alert.textContent = error.name === 'NotAllowedError' ? 'No passkey was used. Try again.'
        : error.name === 'InvalidStateError' ? 'This device has a passkey for you already.'
          : error.message;
      alert.hidden = false;
    }
  });
}
