document.getElementById("made").textContent = `${data.pictures.length} picture${data.pictures.length > 1 ? "s" : ""}, made ${data.made}`;
picturesSection();
