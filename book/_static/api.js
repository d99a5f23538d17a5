/* An address from when the whole reference was one page, api.html#vae_tutorial.models.VAE: on to the module's page. */
"use strict";

(() => {
  const old = decodeURIComponent(location.hash.slice(1));
  const link = document.getElementById(old)?.closest(".module-names > span, dt")?.querySelector("a");
  if (!link) return;
  if (link.hash && old.startsWith(link.hash.slice(1))) link.hash = old; // a method keeps its own name
  location.replace(link.href);
})();
