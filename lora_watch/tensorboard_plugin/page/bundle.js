/* Made by tests/front_end/check.py --fix of sources 605f430e49ae7d5554334e4693a45e7383421f4c2da7cdbe39a4ac2a5a196a21 */
var gs=Object.defineProperty;var ot=(t,e)=>{for(var s in e)gs(t,s,{get:e[s],enumerable:!0})};var de={ΔW:"s·B·A: what an adapter adds to the frozen weight W₀ of its layer",blocks:"the transformer blocks that h\
old adapters: what each one adds is carried on by all that follow",zone:"the rules’ word for the run at a step, from hea\
lthy to exploding: it follows from the open alerts",output_ratio:"‖ΔW·x‖ / ‖W₀·x‖ on the step’s own tokens: how much an \
adapter adds to what its layer gives","depth-scaled output ratio":"the 90th percentile of output_ratio over adapters × d\
epth",depth:"transformer blocks × √(adapted modules of a block / 6), the root at most 1",delta_norm:"‖ΔW‖: Frobenius \
norm of the adapter update ΔW = s·B·A",product_norm:"‖B·A‖: Frobenius norm without the scale",predicted_norm:"s·\
Σlr·√(d_out·r/3): what Adam reaches from the default start if every step agrees",drift_norm:"‖ΔW − ΔW at the start‖\
: what was learned where the adapter did not begin at zero",spectral_norm:"σ₁(ΔW): the largest singular value of the ada\
pter update",relative_norm:"‖ΔW‖ / ‖W₀‖, Frobenius norms: the adapter update relative to the base weight",relative_spectral_norm:"\
σ₁(ΔW) / σ₁(W₀): the adapter update relative to the base weight, largest singular values",effective_rank:"exp o\
f the entropy of σ/Σσ: how many of the r directions are in use; 0 while ΔW = 0",stable_rank:"‖ΔW‖² / σ₁²: a lower, s\
teadier count of the directions in use",a_norm:"‖A‖: Frobenius norm of the factor A",b_norm:"‖B‖: Frobenius norm of \
the factor B",a_grad_norm:"‖∂A‖ as it reaches the optimizer, after clipping",b_grad_norm:"‖∂B‖ as it reaches the o\
ptimizer, after clipping",step_norm:"‖ΔW now − ΔW one step before‖: how far one optimizer step goes",a_changed:"\
share of 64 numbers of A that the last update changed; below 1 where rounding loses updates",b_changed:"share of 64 numb\
ers of B that the last update changed; below 1 where rounding loses updates",base_drift:"‖W − W₀‖ / ‖W₀‖ of the base wei\
ght: 0, since it is frozen",scale:"s: the live factor of B·A; α/r, with rsLoRA α/√r",effective_lr:"s · lr: scale × \
learning rate of the parameter group that holds B",lr:"learning rate of the first parameter group",loss:"mean training l\
oss of the whole optimizer step, NaN kept",expected:"the loss that the run’s own course predicts for the step",gain:"s\
hare of its start that the loss has lost: (start − mean of the last five) / start",overhead:"share of the wall time th\
at the monitor took after the first 20 steps, which are all measured in full",adapters:"LoRA modules that are monitored",
step:"optimizer steps done",r:"rank: the inner size of B·A",alpha:"lora_alpha, of which the scale is made",base_norm:"‖\
W₀‖: Frobenius norm of the frozen base weight",base_spectral_norm:"σ₁(W₀): largest singular value of the frozen base\
 weight",group:"index of the optimizer’s parameter group",spectrum:"all singular values σ of ΔW, largest first",max:"\
the largest of any adapter",p90:"90th percentile over adapters",median:"median over adapters",verdict:"the alert that th\
e rules put first, else their word for the run",end:"the run’s own word for its end",steps:"optimizer steps done, of t\
hose planned","loss, mean of five":"mean of the last five losses; gain: the share of its start that it has lost","‖ΔW‖, \
largest":"Frobenius norm of the adapter update ΔW, the largest of any adapter","‖ΔW‖, median":"Frobenius norm of t\
he adapter update ΔW, median over adapters",alerts:"episodes by severity: one cause makes one alert, which opens, lasts\
 and closes",Severity:"ERROR: the run fails or will; WARNING: something to act on; INFO: worth knowing",Rule:"its id, as\
 in lora-watch rules and in mute=",Held:"for how many steps its cause lasted",Adapters:"the adapter concerned, the worst\
 first, and how many more",Colour:"the colours compare values, each adapter with itself, or adapters with each other at \
a step",Rows:"rows next to each other: modules of a kind, or those of a block","Stand out":"the adapters that are farthe\
st from the median of all at the step, and by which factor; broken ones first",Kind:"kind of the adapted layer","W₀":"\
the frozen base weight, rows × columns","B · A":"the factors of the adapter update, rows × columns",Trainable:"traina\
ble numbers of the adapter",Frobenius:"‖ΔW‖ / ‖W₀‖, Frobenius norms",spectral:"σ₁(ΔW) / σ₁(W₀), largest singu\
lar values",A:"of the factor A, r × columns",B:"of the factor B, rows × r",path:"the run step by step: gain of the los\
s against depth-scaled output ratio, in the colours of its zones"},mt=t=>Object.hasOwn(de,t)?de[t]:void 0,ws=[[/^output_ratio$/,
"ratio of norms"],[/^relative_/,"relative to W₀"],[/spectral_norm$/,"σ₁"],[/_norm$/,"Frobenius norm"],[/_rank$/,"di\
rections"],[/_changed$|^gain$/,"share"],[/_drift$/,"relative change"],[/^(effective_)?lr$/,"per step"],[/^loss/,"loss"],
[/^scale$/,"s"]],ue=t=>ws.find(([e])=>e.test(t))?.[1];var ys="http://www.w3.org/2000/svg";function me(t,e,s){for(let[n,r]of Object.entries(e??{}))r==null||r===!1||(n.startsWith(
"on")?t.addEventListener(n.slice(2),r):t.setAttribute(n,r===!0?"":r));return t.append(...s.flat(1/0).filter(n=>n!=null&&
n!==!1)),t}var v=t=>Math.round(t/13*parseFloat(getComputedStyle(document.documentElement).fontSize)),c=(t,e,...s)=>me(document.
createElement(t),e,s),b=(t,e,...s)=>me(document.createElementNS(ys,t),e,s),Z=(t,e,s,n,r={})=>b("svg",{class:t,width:e,height:s,
viewBox:`0 0 ${e} ${s}`,role:"img","aria-label":n,...r}),et=(t,e,s)=>b("text",{x:t,y:e,"text-anchor":"middle",class:"emp\
ty"},s);function $(t,e=.001){if(t==null)return"–";if(Number.isNaN(t))return"NaN";if(!Number.isFinite(t))return t>0?"∞":
"−∞";if(t===0)return"0";let s=Math.abs(t);if(s>=1e6||s<e){let[r,a]=t.toExponential(s>=999500?2:1).split("e");return`${r.
replace(/\.?0+$/,"")}e${a.replace("+","")}`.replaceAll("-","−")}return(s>=1e3?String(Math.round(t)):String(Number(t.toPrecision(
3)))).replace("-","−")}var at=t=>$(t,1e-4);function T(t,e=0){let s=Math.abs(t*100).toFixed(e);return`${t<0&&Number(s)?
"−":""}${s} %`}var bs={lr:"learning rate",b:"B",rslora:"rsLoRA",dora:"DoRA",adalora:"AdaLoRA",non:"non-"},L=t=>{let e=t.
split(/[-_]/).map(s=>bs[s]??s).join(" ").replace("- ","-");return/[A-Z]/.test(e.split(" ")[0])?e:e.charAt(0).toUpperCase()+
e.slice(1)},E={bubble(){let t=document.getElementById("tip")??c("div",{id:"tip",role:"tooltip"});return t.isConnected||document.
body.append(t),t},show(t,...e){let s=this.bubble();s.replaceChildren(...e.flat().filter(i=>i!=null&&i!==!1).map(i=>i instanceof
Node?i:c("div",null,i))),s.style.display="block";let{offsetWidth:n,offsetHeight:r}=s,a=t.clientX+16+n<innerWidth;s.style.
left=`${Math.max(4,a?t.clientX+14:t.clientX-14-n)}px`,s.style.top=`${Math.max(4,Math.min(t.clientY+14,innerHeight-r-6))}\
px`},under(t,...e){let{left:s,bottom:n}=t.getBoundingClientRect();this.show({clientX:s-14,clientY:n-8},...e)},hide(){this.
bubble().style.display="none"}},pt=t=>({tabindex:0,role:"button",onclick:t,onkeydown:e=>{e.key!=="Enter"&&e.key!==" "||(e.
preventDefault(),e.stopPropagation(),t(e))}}),it=(t,e,s)=>c("div",{class:"tip-row"},c("i",{style:`background:${t}`}),c("\
span",null,e),c("b",null,s)),j=["ERROR","WARNING","INFO"],fe={ERROR:"M0-6L6 5H-6Z",WARNING:"M0-6L6 0L0 6L-6 0Z",INFO:"M-\
4.5 0a4.5 4.5 0 1 0 9 0a4.5 4.5 0 1 0-9 0Z"},lt=t=>fe[t]??fe.INFO,R=(t,e=14)=>b("svg",{class:`severity ${F(t)}`,viewBox:"\
-7 -7 14 14",width:e,height:e,"aria-hidden":"true"},b("path",{d:lt(t)})),F=t=>j.includes(t)?t.toLowerCase():"info";function S(t,e=t){
let s=mt(e);return s?st(t,s):t}function st(t,e,s={}){let n=({currentTarget:a})=>{E.under(a,e),a.setAttribute("aria-descr\
ibedby","tip")},r=({currentTarget:a})=>{E.hide(),a.removeAttribute("aria-describedby")};return c("button",{type:"button",
...s,class:`term ${s.class??""}`.trim(),onclick:a=>{a.preventDefault(),a.stopPropagation(),n(a)},onfocus:n,onblur:r,onpointerenter:n,
onpointerleave:r,onkeydown:a=>{a.key==="Escape"&&(a.stopPropagation(),r(a))}},t)}function jt(t){if(t.length<=16)return t;
let e=Math.min(10,Math.floor(t.length/2)),s=[c("span",null,t.slice(0,-e)),c("span",null,t.slice(-e))];return st(s,t,{class:"\
middle","aria-label":t})}var I=(t,e,...s)=>c("section",{class:"card"},t&&c("header",null,c("h2",null,t),e&&c("span",{class:"\
note"},e)),s),Bt=(t,e)=>e.length>0&&c("ul",{class:t},...e.map(s=>c("li",null,s))),vs=700;function B(t,e,s=16,n=vs){if(t<
n)return{widths:e.map(()=>t),style:"grid-template-columns:minmax(0,1fr)"};let r=e.reduce((o,l)=>o+l,0),a=t-s*(e.length-1),
i=e.map(o=>Math.floor(a*o/r));return{widths:i,style:`grid-template-columns:${i.map(o=>`${o}px`).join(" ")}`}}function pe(t,e){
let s=document.activeElement,n=s?.matches("input[type=search]")&&t.contains(s)&&e.querySelector(`#${s.id}`);if(!n)return t.
replaceChildren(...e.childNodes);let[r,a]=[t,e];for(;r!==s;){let[i,o]=[r,a].map(d=>[...d.children].find(u=>u.contains(d===
r?s:n)));if(!i||!o)return t.replaceChildren(...e.childNodes);for(let d of[...r.childNodes])d!==i&&d.remove();let l=[...a.
childNodes],h=l.indexOf(o);i.before(...l.slice(0,h)),i.after(...l.slice(h+1)),i!==s&&i.setAttribute("style",o.getAttribute(
"style")??""),[r,a]=[i,o]}}var Ht={};ot(Ht,{draw:()=>cn,endOf:()=>V,formulaOf:()=>_t,groupLines:()=>ke,noAlert:()=>Nt,peakOf:()=>Me,rateOf:()=>_e,recoveryIn:()=>Mt,
severityOf:()=>Vt,title:()=>ln,verdict:()=>kt});var xs=t=>{let e=t==null?"":String(t),s=typeof t=="string"&&/^[=+\-@\t\r]/.test(e)?`'${e}`:e;return/[",\n\r]/.test(s)?`"${s.
replaceAll('"','""')}"`:s};function gt(t){let e=t.filter(({matrix:o})=>o?.columns),s=e.some(({matrix:o})=>o.pooled),n=new Map;
for(let[o,{matrix:l,column:h=0}]of e.entries())for(let d=0;d<l.columns;d++){let u=`${l.first[d]} ${l.last[d]}`;n.has(u)||
n.set(u,{first:l.first[d],last:l.last[d],cells:[]});let f=d*l.n+h;n.get(u).cells[o]=l.flags[f]&4?null:[l.low[f],l.high[f]]}
let r=e.flatMap(({name:o})=>s?[`${o} lowest`,`${o} highest`]:[o]),a=[...s?["first step","last step"]:["step"],...r],i=[...n.
values()].sort((o,l)=>o.first-l.first||o.last-l.last).map(({first:o,last:l,cells:h})=>[...s?[o,l]:[o],...e.flatMap((d,u)=>s?
h[u]??[null,null]:[h[u]?.[1]])]);return ct([a,...i])}var ct=t=>t.map(e=>`${e.map(xs).join(",")}
`).join("");function ge(t,e){let s=c("a",{href:URL.createObjectURL(t),download:e.replaceAll(/[^\p{L}\p{N}._-]+/gu,"-")});
s.click(),setTimeout(()=>URL.revokeObjectURL(s.href),1e4)}var $s=["fill","stroke","stroke-width","stroke-dasharray","str\
oke-opacity","opacity","display"],ks=["font-family","font-size","font-weight","letter-spacing","text-anchor","paint-orde\
r"];async function Ms(t){let{width:e,height:s}=t.getBoundingClientRect(),n=c("canvas",{width:Math.round(2*e),height:Math.
round(2*s)}),r=n.getContext("2d");if(r.fillStyle=getComputedStyle(t.closest(".card")??document.body).backgroundColor,r.fillRect(
0,0,n.width,n.height),t instanceof HTMLCanvasElement)r.drawImage(t,0,0,n.width,n.height);else{let a=t.cloneNode(!0),i=t.
querySelectorAll("*");for(let[l,h]of a.querySelectorAll("*").entries()){let d=getComputedStyle(i[l]);for(let u of[...$s,
...ks])h.style.setProperty(u,d.getPropertyValue(u))}a.setAttribute("xmlns","http://www.w3.org/2000/svg");let o=new Image;
o.src=`data:image/svg+xml,${encodeURIComponent(new XMLSerializer().serializeToString(a))}`,await o.decode(),r.drawImage(
o,0,0,n.width,n.height)}return new Promise(a=>n.toBlob(a))}var J=(t,e)=>c("span",{class:"export"},c("button",{class:"csv",
title:`save ${t} as CSV`,onclick:()=>ge(new Blob([e()]),`${t}.csv`)},"CSV"),c("button",{class:"png",title:`save ${t} as \
PNG`,onclick:async({currentTarget:s})=>{let n=s.closest(".card").querySelector("svg.chart, svg.picture, #heat");ge(await Ms(
n),`${t}.png`)}},"PNG"));var ht=t=>t&4?"not measured":[t&1&&"NaN",t&2&&"Inf"].filter(Boolean).join(" and "),wt=class t{constructor(e,s,n,r){let[a,
i]=e.shape;this.columns=a,this.n=i,this.first=Float64Array.from(e.first),this.last=Float64Array.from(e.last),this.pooled=
e.pooled,this.width=e.width,this.rows=e.rows,this.range=e.range,this.notes=e.notes,this.low=s,this.high=n,this.flags=r,this.
bytes=(s===n?5:9)*r.length,this.until=void 0}static parse(e){let s=new DataView(e).getUint32(0,!0),n=JSON.parse(new TextDecoder().
decode(new Uint8Array(e,4,s))),r=n.shape[0]*n.shape[1],a=4+s,i=new Float32Array(e,a,r);n.pooled&&(a+=4*r);let o=n.pooled?
new Float32Array(e,a,r):i;return new t(n,i,o,new Uint8Array(e,a+4*r,r))}window({from:e=-1/0,to:s=1/0,adapter:n,max_cols:r=1/0}){
let a=Array.from(this.first.keys()).filter(g=>this.last[g]>=e&&this.first[g]<=s),i=n==null?Array.from({length:this.n},(g,w)=>w):
[n],o=Math.max(1,Math.ceil(a.length/r)),l=Array.from({length:Math.ceil(a.length/o)},(g,w)=>a.slice(w*o,(w+1)*o)),h=l.length*
i.length,d=this.pooled||o>1,u=new Float32Array(h),f=d?new Float32Array(h):u,m=new Uint8Array(h);l.forEach((g,w)=>{i.forEach(
(y,x)=>{let _=g.map(N=>N*this.n+y),O=w*i.length+x,k=N=>_.map(W=>N[W]).filter(Number.isFinite),[A,M]=[k(this.low),k(this.
high)];f[O]=A.length?Math.min(...A):this.low[_[0]],u[O]=M.length?Math.max(...M):this.high[_[0]],m[O]=_.reduce((N,W)=>N|this.
flags[W]&3,0),_.every(N=>this.flags[N]&4)&&(m[O]|=4)})});let p={shape:[l.length,i.length],first:l.map(g=>this.first[g[0]]),
last:l.map(g=>this.last[g[g.length-1]]),pooled:d,width:this.width*o,rows:a.length===this.columns?this.rows:a.length*this.
width,range:this.range,notes:this.notes};return new t(p,f,u,m)}columnOf(e){let s=0,n=this.columns-1;for(;s<n;){let r=s+n+
1>>1;this.first[r]<=e?s=r:n=r-1}return s}at(e,s=0){if(!this.columns||this.first[0]>e)return;let n=this.columnOf(e),r=n*this.
n+s;return this.flags[r]&4||this.first[n]<this.last[n]?void 0:this.high[r]}get end(){return Math.max(this.until??0,this.
last[this.columns-1])}place(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return e>=this.columns?1:(this.
first[e]-s)/(n*this.width)}stepAt(e){let s=this.first[0],n=Math.ceil((this.end-s+1)/this.width);return Math.floor(s+Math.
max(0,Math.min(.999999,e))*n*this.width)}say(e,s,n){let r=e*this.n+s,a=this.low[r],i=this.high[r],o=this.flags[r];return[
Number.isFinite(i)?a===i?n(i):`${n(a)} … ${n(i)}`:"",o&&ht(o)].filter(Boolean).join(", ")}steps(e){let s=this.first[e],
n=this.last[e];return s===n?`step ${s}`:`steps ${s}–${n}`}};function H(t,e,s){let n=(e-t)/Math.max(1,s);if(!(n>0))return[t];let r=10**Math.floor(Math.log10(n)),a=[1,2,5,10].map(o=>o*
r).find(o=>o>=n*.999)??10*r,i=[];for(let o=Math.ceil(t/a)*a;o<=e+a*1e-9;o+=a)i.push(Number(o.toPrecision(12)));return i}
function X(t,e,s=6){let n=a=>{let i=[];for(let o=Math.floor(t);o<=Math.ceil(e);o++)for(let l of a)Math.log10(l)+o>=t-1e-9&&
Math.log10(l)+o<=e+1e-9&&i.push(+`${l}e${o}`);return i},r=n([1]);return r.length>=3?r.filter((a,i)=>i%Math.ceil(r.length/
s)===0):[[1,2,5],[1,3]].map(n).find(a=>a.length>1&&a.length<=s)??(r.length>1?r:H(10**t,10**e,s/2))}var Y=(t,{left:e,right:s},n,r=at)=>t.
flatMap(a=>[b("line",{x1:e,x2:s,y1:n(a),y2:n(a),class:"grid"}),b("text",{x:e-6,y:n(a)+v(4),"text-anchor":"end"},r(a))]),
P=t=>t.filter(({name:e,back_to:s,step:n})=>e==="recovered"&&s!=null&&s<n).map(({back_to:e,step:s})=>[e+1,s]);function _s(t,e){
let{width:s,height:n,step:r,alerts:a=[]}=e,i=t.filter(Ns),o=t.map(w=>w.name).join(", "),l=Z("chart",s,n,o,a.length?{role:"\
group"}:{});if(!i.length)return l.append(et(s/2,n/2,e.empty??"not logged in this run")),l;let h=Ss(i,e),{X:d,x0:u,x1:f,top:m,
foot:p}=h;l.append(...Ws(h,e),...Is(h,e.thresholds??[]));let g=[];for(let w of i)l.append(...Ts(w,h,g));return l.append(
...Ls(h,e.discarded??[])),r!=null&&r>=u&&r<=f&&l.append(b("line",{x1:d(r),x2:d(r),y1:m,y2:p,class:"cursor"})),l.append(...Fs(
h,a,e.onAlert)),Rs(l,i,h,e),l}var Ns=({matrix:t,column:e=0,dash:s})=>t&&Array.from(t.first).some((n,r)=>Number.isFinite(
t.high[r*t.n+e])||!s&&t.flags[r*t.n+e]&3);function Ss(t,e){let{width:s,height:n,alerts:r=[]}=e,a=v(58),i=s-v(12),o=r.length?
20:10,l=n-v(22),[h,d]=e.range??[Math.min(...t.map(x=>x.matrix.first[0])),Math.max(...t.map(x=>x.matrix.last.at(-1)))],u=({
matrix:x,column:_=0})=>Array.from({length:x.columns},(O,k)=>x.high[k*x.n+_]).some(O=>O>0&&O<1/0),f=e.log&&t.some(u),m=f?
x=>x>0?Math.log10(x):NaN:x=>x,[p,g]=Es(Os(As(t,m,h,d),e.thresholds,m,f),e.zero,f);return{left:a,right:i,top:o,foot:l,x0:h,
x1:d,log:f,to:m,low:p,high:g,X:x=>a+(d===h?(i-a)/2:(x-h)/(d-h)*(i-a)),Y:x=>l-(Math.max(p,Math.min(g,x))-p)/(g-p)*(l-o)}}
function As(t,e,s,n){let r=1/0,a=-1/0;for(let{matrix:i,column:o=0}of t)for(let l=0;l<i.columns;l++){if(i.last[l]<s||i.first[l]>
n)continue;let h=e(i.low[l*i.n+o]),d=e(i.high[l*i.n+o]);h<r&&h>-1/0&&(r=h),d>a&&d<1/0&&(a=d),d<r&&d>-1/0&&(r=d)}return[r,
a]}function Os([t,e],s=[],n,r){for(let{value:a}of s){let i=n(a);r&&i>e&&i-e<1&&(e=i+.05),r&&i<t&&t-i<1&&(t=i-.05)}return[
t,e]}function Es([t,e],s,n){if(t<=e||([t,e]=[0,1]),s&&!n&&(t=Math.min(0,t)),n&&e-t>8&&(t=e-8),e-t<1e-9*Math.max(1,Math.abs(
e))){let a=n?.3:Math.abs(e)*.1||1;return[e===0?0:t-a,e+a]}let r=(e-t)*.06;return[s&&t===0?t:t-r,e+r]}function Ws({left:t,
right:e,top:s,foot:n,x0:r,x1:a,log:i,to:o,low:l,high:h,X:d,Y:u},{height:f,term:m}){let p=n-s,g=i?X(l,h,Math.max(2,p/v(18))):
H(l,h,Math.max(2,p/v(32))),w=H(r,a,(e-t)/v(62)).filter(Number.isInteger),y=[ue(m??""),i&&"log"].filter(Boolean).join(", "),
x=`translate(${v(10)},${s+p/2})rotate(-90)`;return[...Y(g,{left:t,right:e},_=>u(o(_))),...w.map(_=>b("text",{x:d(_),y:f-
5,"text-anchor":"middle"},_)),b("text",{class:"axis-name",x:t-8,y:f-5,"text-anchor":"end"},"step"),b("text",{class:"axis\
-name","text-anchor":"middle",transform:x},y)]}var Is=({left:t,right:e,to:s,low:n,high:r,Y:a},i)=>i.map(({value:o,name:l})=>({
v:s(o),name:l})).filter(({v:o})=>o>=n&&o<=r).flatMap(({v:o,name:l})=>[b("line",{x1:t,x2:e,y1:a(o),y2:a(o),class:"thresho\
ld"}),b("text",{x:e-2,y:a(o)-3,"text-anchor":"end",class:"threshold"},l)]),Ls=({top:t,foot:e,x0:s,x1:n,X:r},a)=>a.map(([
i,o])=>({first:i,last:o,from:Math.max(s,i-.5),until:Math.min(n,o+.5)})).filter(({from:i,until:o})=>o>i).map(({first:i,last:o,
from:l,until:h})=>{let d=i<o?`steps ${i} to ${o} were discarded`:`step ${o} was discarded`,u={x:r(l),y:t,width:r(h)-r(l),
height:e-t},f=`M${r(h)} ${t+6}H${r(l)}m5 -4l-5 4l5 4`;return b("g",{class:"discarded"},b("title",null,d),b("rect",u),b("\
path",{d:f}))});function Fs({top:t,foot:e,x0:s,x1:n,X:r},a,i){let o=a.filter(l=>l.step>=s&&l.step<=n);return o.flatMap((l,h)=>{
let d=o.slice(0,h).filter(({step:w})=>w===l.step).length,u=Math.min(n,l.closed_step==null?n:l.last_step),f=F(l.severity),
m={x:r(l.step),y:7.5,width:r(u)-r(l.step),height:3,class:`held severity ${f}`},p={class:`mark severity ${f}`,"aria-label":`${l.
severity} ${l.name} at step ${l.step}`,transform:`translate(${r(l.step)+13*d},9)`,...pt(w=>{w.stopPropagation(),i?.(l)}),
onpointermove:w=>{w.stopPropagation();let y=c("b",null,`${l.severity} ${l.rule} ${l.name}`);E.show(w,y,`step ${l.step}`,
l.message)}},g=!d&&b("path",{d:`M0 6V${e-t+11}`,class:"stem"});return[...u>l.step?[b("rect",m)]:[],b("g",p,g,b("path",{d:lt(
l.severity)}))]})}function Rs(t,e,{left:s,right:n,top:r,foot:a,x0:i,x1:o,X:l},{width:h,onStep:d,onZoom:u}){let f=b("line",
{y1:r,y2:a,class:"hover"}),m=b("rect",{y:r,height:a-r,class:"select"});t.append(f,m);let p=y=>{let x=t.getBoundingClientRect(),
_=(y.clientX-x.left)*(h/x.width);return Math.round(i+Math.max(0,Math.min(1,(_-s)/(n-s)))*(o-i))},g=null,w=y=>g&&Math.abs(
y.clientX-g.x)>5;t.addEventListener("pointerdown",y=>{u&&(g={x:y.clientX,step:p(y)})}),t.addEventListener("pointermove",
y=>{let x=p(y);g&&w(y)&&(t.hasPointerCapture(y.pointerId)||t.setPointerCapture(y.pointerId),m.setAttribute("x",Math.min(
l(x),l(g.step))),m.setAttribute("width",Math.abs(l(x)-l(g.step))),m.style.display="block"),f.setAttribute("x1",l(x)),f.setAttribute(
"x2",l(x)),f.style.display="block",E.show(y,`step ${x}`,Cs(e,x))}),t.addEventListener("pointerleave",()=>{f.style.display=
"none",E.hide()}),t.addEventListener("pointercancel",()=>{g=null,m.style.display="none"}),t.addEventListener("click",y=>{
let x=w(y)?g?.step:null,_=p(y);g=null,x==null?d?.(_):x!==_&&u(Math.min(x,_),Math.max(x,_))})}var Cs=(t,e)=>t.map(({matrix:s,
column:n=0,colour:r,name:a})=>s.first[0]>e?null:it(r,a,s.say(s.columnOf(e),n,$)));function Ts(t,{X:e,Y:s,to:n,x0:r,x1:a,
top:i,foot:o},l){let{matrix:h,column:d=0,colour:u,dash:f,thin:m}=t,p=[],g="",w=!1,y="",x="",_=[],O=[],k=[],A=()=>{_.length>
1&&k.push(`M${_.join("L")}L${O.reverse().join("L")}Z`),_.length=O.length=0};for(let M=0;M<h.columns;M++){let N=(h.first[M]+
h.last[M])/2;if(h.last[M]<r||h.first[M]>a)continue;let W=M*h.n+d,U=e(N).toFixed(1);!f&&h.flags[W]&3&&(p.at(-1)?.column===
M-1?Object.assign(p.at(-1),{column:M,to:e(N)}):p.push({column:M,from:e(N),to:e(N),kind:`${t.letter?`${t.letter}: `:""}${h.
flags[W]&1?"NaN":"Inf"}`}));let q=n(h.low[W]),Q=n(h.high[W]);if(!Number.isFinite(Q)){w=!1,x+=y,y="",A();continue}let rt=Number.
isFinite(q)?s((q+Q)/2):s(Q);g+=`${w?"L":"M"}${U} ${rt.toFixed(1)}`,w?y="":y=`M${U} ${rt.toFixed(1)}h.01`,w=!0,h.pooled&&
(_.push(`${U} ${s(Q).toFixed(1)}`),O.push(`${U} ${(Number.isFinite(q)?s(q):o).toFixed(1)}`))}return A(),[k.length&&b("pa\
th",{d:k.join(""),class:"band",style:`fill:${u};stroke:${u}`}),b("path",{d:g,class:m?"line thin":"line","stroke-dasharra\
y":f,style:`stroke:${u}`}),x+y&&b("path",{d:x+y,class:"lone",style:`stroke:${u}`}),...p.filter(({from:M,to:N})=>!l.some(
W=>W.from<=M&&N<=W.to)&&l.push({from:M,to:N})).map(({from:M,to:N,kind:W})=>b("g",{class:"broken"},b("rect",{x:M-1.5,width:N-
M+3,y:i,height:o-i}),b("rect",{class:"foot",x:M-1.5,width:N-M+3,y:o-6,height:6}),b("text",{x:M+3,y:o-10},W)))].filter(Boolean)}
var js=t=>c("div",{class:"legend"},t.map(e=>c("span",null,c("i",{class:e.dash?"dashed":null,style:`--swatch:${e.colour}`}),
S(e.name)))),D=(t,e,s,n)=>I(S(t,n.term),[e,J(t,()=>gt(s))],(n.legend??s.length>1)&&js(s),_s(s,n));var yt="var(--c1)",zt="var(--c2)";function we(t,e){let s=t.schema.config?.find_lr;if(!(s?.curve?.rate?.length>1))return null;
let n=B(e-26,[3,2],24);return I("Learning rate, found by a sweep",[`${s.curve.rate.length} steps before the run`,J("find\
_lr",()=>ct(Bs(s.curve)))],c("div",{class:"sweep",id:"found",style:n.style},zs(s,n.widths[0]),c("ul",{class:"words"},(s.
sentences??[]).map((r,a)=>c("li",{class:a?null:"head"},r)))))}var bt=t=>(t??[]).map(Number),Bs=({rate:t,loss:e,smoothed:s,
output_ratio:n})=>[["learning rate","loss","smoothed loss","depth-scaled output ratio"],...t.map((r,a)=>[r,e[a],s?.[a],n[a]])],
Pt=(t,e,s,n)=>r=>s+(r-t)/(e-t||1)*(n-s);function zs(t,e){let s=t.curve,n=bt(s.rate),r=Ps(n,e),a=Z("chart",e,r.height,"lo\
ss and depth-scaled output ratio over the learning rate",{onpointermove:i=>Us(i,s,n,r),onpointerleave:()=>E.hide()});return a.
append(...Ds(r),...Vs(t,r),...Hs(s,n,r),...Ks(s,n,r),...Gs(t,r)),a}function Ps(t,e){let s=v(330),n=v(58),r=e-v(16),a=v(14),
i=s-v(38),o=v(20),l=a+(i-a-o)*.6,h=[Math.log10(t[0]),Math.log10(t.at(-1))],d=Pt(h[0],h[1],n,r);return{height:s,left:n,right:r,
top:a,foot:i,gap:o,middle:l,ends:h,X:f=>d(Math.min(Math.max(Math.log10(f),h[0]),h[1]))}}function Us(t,e,s,{X:n}){let r=i=>Math.
abs(n(i)-(t.clientX-t.currentTarget.getBoundingClientRect().left)),a=s.reduce((i,o,l)=>r(o)<r(s[i])?l:i,0);E.show(t,c("b",
null,`learning rate ${$(s[a])}`),it(yt,"loss",$(Number(e.loss[a]))),it(zt,"depth-scaled output ratio",$(Number(e.output_ratio[a]))))}
var tt=(t,e,s,n={})=>b("text",{x:t,y:e,...n},s),Ds=({height:t,left:e,right:s,foot:n,ends:r,X:a})=>[...X(r[0],r[1],(s-e)/
v(70)).map(i=>tt(a(i),n+v(15),$(i),{"text-anchor":"middle"})),tt((e+s)/2,t-6,"learning rate",{"text-anchor":"middle",class:"\
axis-name"})];function Vs({low:t,high:e},{top:s,foot:n,X:r}){if(t==null||e==null)return[];let a={x:r(t),y:s,width:Math.max(
r(e)-r(t),1),height:n-s};return[b("rect",{class:"plateau",...a,style:"fill:var(--ok)"})]}function ye(t,e,{X:s},n,r){let i=t.
map((o,l)=>[e[l],o]).filter(([,o])=>Number.isFinite(o)).map(([o,l])=>`${s(o).toFixed(1)} ${n(l).toFixed(1)}`);return i.length?
[b("path",{class:"line",style:`stroke:${r}`,d:`M${i.join("L")}`})]:[]}function Hs(t,e,s){let{left:n,top:r,middle:a,X:i}=s,
o=bt(t.smoothed),l=Math.max(...o.filter(Number.isFinite)),h=bt(t.loss).map((f,m)=>({loss:f,rate:e[m]})).filter(({loss:f})=>f<=
l),d=Math.min(l,...h.map(({loss:f})=>f));if(!Number.isFinite(d))return[tt(n+6,r+v(20),"no finite loss")];let u=Pt(d,l,a,
r);return[...Y(H(d,l,(a-r)/v(34)),s,u),...h.map(({loss:f,rate:m})=>b("circle",{class:"one",cx:i(m),cy:u(f),r:2.5,style:`\
fill:${yt}`})),...ye(o,e,s,u,yt),tt(n+6,a-6,"loss, mean of five",{style:`fill:${yt}`})]}function Ks(t,e,s){let{left:n,right:r,
foot:a,gap:i,middle:o}=s,l=bt(t.output_ratio).map(g=>g>0?Math.log10(g):Number.NaN),h=l.filter(Number.isFinite),d=o+i;if(!h.
length)return[tt(n+6,d+v(14),"depth-scaled output ratio: not measured")];let u=Math.min(...h,-.3),f=Math.max(...h,.3),m=Pt(
u,f,a,d),p=X(u,f,(a-d)/v(24)).filter(g=>Math.abs(Math.log10(g))>.5);return[...Y([1,...p],s,g=>m(Math.log10(g)),$),b("lin\
e",{x1:n,x2:r,y1:m(0),y2:m(0),class:"one"}),...ye(l,e,s,m,zt),tt(n+6,d+v(14),"depth-scaled output ratio",{style:`fill:${zt}`})]}
var Gs=({rate:t,edge:e,edge_rule:s},{top:n,foot:r,X:a})=>[[t,"suggestion","ok"],[e,s?`edge, ${s}`:"edge","error"]].filter(
([i])=>i!=null).flatMap(([i,o,l])=>{let h=a(i);return[b("line",{class:"found",x1:h,x2:h,y1:n,y2:r,style:`stroke:var(--${l}\
)`}),tt(h-4,n+v(10),o,{"text-anchor":"end",class:"found",style:`fill:var(--${l})`})]});var Ut=t=>t.depth??Math.max(1,new Set(t.adapters.map(({layer:e})=>e).filter(e=>e!=null)).size),vt=({rules:t},e)=>e==="ou\
tput_ratio"?t?.find(({id:s})=>s==="LW102")?.thresholds?.threshold??null:null,ve="waiting for the first step",xe="no step\
 was made",Dt=t=>t===ve||t===xe,qs={unknown:"faint","non-finite":"broken",diverged:"c4"};function dt(t,e,s){let n=t.zones?.[e?.
at(s)];if(!n)return null;let r=n.severity?F(n.severity):n.name==="healthy"?"ok":"info";return{name:n.name,head:L(n.name),
text:n.text,kind:r,colour:qs[n.name]??r}}var ut=({loss:t,loss_start:e,loss_recent:s},n)=>Number.isFinite(t?.at(n)??0)?1-
s?.at(n)/e?.at(n):Number.NaN;async function xt(t,e){let s=["output_ratio","relative_spectral_norm"].find(k=>t.runs[e].metrics.
includes(k)),{verdict:n}=await t.data.verdict(e),r=["running",null].includes(n)?ve:xe;if(!s){let k=t.runs[e].step?"the o\
utput ratio was not measured":r;return{metric:"output_ratio",points:[],depth:1,missing:k}}let a={max_cols:400},[i,{alerts:o},
l,h]=await Promise.all([t.data.schema(e),t.data.alerts(e),t.spread(s,a,e),t.series("loss_recent",a,e)]),d=Ut(i),u=l.first.
findIndex((k,A)=>l.flags[A*l.n]&3),f=u<0?void 0:l.first[u],m=h?.columns?[...new Set([...l.last,h.last.at(-1)])].filter(k=>k>=
h.first[0]):[],[p,g]=await Promise.all([t.spread(s,{at:m},e),t.seriesOf(["loss","loss_start","loss_recent","zone"],{at:m},
e)]),w=m.sort((k,A)=>k-A).map(k=>({step:k,gain:ut(g,k),ratio:d*p.at(k,1),zone:dt(i,g.zone,k)})).filter(({gain:k,ratio:A})=>Number.
isFinite(k)&&A>0),y=P(o),x=([k,A],{step:M})=>k<=M&&M<=A,_=w.filter(k=>!y.some(A=>x(A,k))),O=y.map(k=>w.filter(A=>x(k,A)));
return{metric:s,points:_,strays:O,depth:d,broken:f,missing:_.length?null:Zs(t.runs[e],u<0?null:l.steps(u),r)}}var Zs=({series:t,
step:e},s,n)=>e===0?n:t.includes("loss")?s?`NaN since ${s}`:"too few steps":"the loss is unknown";function be(t){let e=Math.
max(1,Math.round(t.length/30));return t.map((s,n)=>{let r=Math.min(e,n,t.length-1-n),a=t.slice(n-r,n+r+1),i=o=>a.reduce(
(l,h)=>l+o(h),0)/a.length;return{...s,gain:i(o=>o.gain),ratio:Math.exp(i(o=>Math.log(o.ratio)))}})}function Js(t,e,s,{X:n,
Y:r,left:a,right:i}){let o=n(e.gain),l=r(e.ratio),h=Xs(t,n,r).filter(p=>Math.abs(p.y-l)<v(14)),d=p=>h.filter(g=>(g.x-o)*
p>2&&(g.x-o)*p<s).length,u=p=>p>0?o+s<i:o-s>a,f=u(1)?u(-1)&&d(-1)<d(1)?-1:1:-1;if(!d(f))return[f,0];let m=h.filter(p=>(p.
x-o)*f>2).map(p=>p.y-l);return[f,m.reduce((p,g)=>p+g,0)>0?-v(11):v(11)]}var Xs=(t,e,s)=>t.flatMap((n,r)=>{let a=t[r-1]??
n,i={x:e(a.gain),y:s(a.ratio)},o={x:e(n.gain),y:s(n.ratio)},l=Math.ceil(Math.hypot(o.x-i.x,o.y-i.y)/6)||1;return Array.from(
{length:l},(h,d)=>({x:i.x+(o.x-i.x)*(d+1)/l,y:i.y+(o.y-i.y)*(d+1)/l}))});function $t(t,e){let{width:s,height:n,metric:r,
damage:a,step:i,onStep:o}=e,l=r==="output_ratio"?"depth-scaled output ratio":"σ₁(ΔW) / σ₁(W₀) × depth",h=t.map(
m=>({...m,smoothed:be(m.points),strayed:(m.strays??[]).map(be)})),d=h.flatMap(({smoothed:m,strayed:p})=>[m,...p].flat()),
u=Ys(d,s,n,a),f=Z("picture",s,n,`${l} against improvement of the loss`);f.append(...Qs(u,l,n),...tn(u,a)),t.length===1&&
t[0].missing&&f.append(en(u,t[0].missing));for(let m of h.filter(({smoothed:p})=>p.length))f.append(...sn(m,u),...nn(m,u,
i,t.length===1));return f.append(...on(h,u)),an(f,h,u,l,o),f}function Ys(t,e,s,n){let r=v(56),a=e-v(20),i=v(12),o=s-v(40),
l=t.map(w=>w.gain),h=t.map(w=>Math.log10(w.ratio)),d=Math.max(-1,Math.min(-.2,...l.map(w=>w*1.12))),u=Math.min(1,Math.max(
.4,...l.map(w=>w*1.15))),f=Math.max(-4,Math.min(...h.length?h:[-1])-.3),m=Math.min(5,Math.max(...h.length?h:[1],n?Math.log10(
n):-4)+.3);return{left:r,right:a,top:i,bottom:o,x0:d,x1:u,y0:f,y1:m,X:w=>r+(Math.max(d,Math.min(u,w))-d)/(u-d)*(a-r),Y:w=>o-
(Math.max(f,Math.min(m,Math.log10(w)))-f)/(m-f)*(o-i)}}function Qs({left:t,right:e,top:s,bottom:n,x0:r,x1:a,y0:i,y1:o,X:l,
Y:h},d,u){let f=e-t,m=`translate(${v(12)},${(s+n)/2})rotate(-90)`;return[b("rect",{x:t,y:s,width:f,height:n-s,class:"fra\
me"}),...Y(X(i,o),{left:t,right:e},h),...H(r,a,Math.max(4,f/v(70))).map(p=>b("text",{x:l(p),y:n+v(15),"text-anchor":"mid\
dle"},T(p))),b("line",{x1:l(0),x2:l(0),y1:s,y2:n,class:"axis"}),b("text",{x:e,y:u-6,"text-anchor":"end",class:"axis-name"},
"gain: loss below its start →"),b("text",{class:"axis-name","text-anchor":"middle",transform:m},`${d}, p90, log`)]}function tn({
left:t,right:e,top:s,Y:n},r){return r?[b("rect",{x:t,y:s,width:e-t,height:n(r)-s,class:"damaged"}),b("text",{x:e-v(6),y:n(
r)-v(5),"text-anchor":"end",class:"damaged"},"runs up here were damaged")]:[]}var en=({left:t,right:e,top:s,bottom:n},r)=>et(
(t+e)/2,(s+n)/2,Dt(r)?r:`no path: ${r}`);function sn({colour:t,letter:e,points:s,smoothed:n,strayed:r},{X:a,Y:i}){let o=f=>`${a(
f.gain).toFixed(1)} ${i(f.ratio).toFixed(1)}`,l=f=>f.map((m,p)=>`${p?"L":"M"}${o(m)}`).join(""),h=l(n),d=`stroke:${t}`,u=({
zone:f},m)=>f&&m&&b("path",{d:`M${o(n[m-1])}L${o(n[m])}`,class:`trace zone ${f.kind}`,style:`stroke:var(--${f.colour})`});
return[b("path",{class:"trace-raw",style:d,d:s.map(f=>`M${o(f)}h.01`).join("")}),...r.map(f=>b("path",{d:l(f),class:"tra\
ce stray",style:d},b("title",null,`steps ${f[0]?.step} to ${f.at(-1)?.step}, discarded`))),b("path",{d:h,class:"trace-ha\
lo"}),b("path",{d:h,class:"trace",style:d}),...e?[]:n.map(u).filter(Boolean)]}function nn({colour:t,letter:e,broken:s,smoothed:n},r,a,i){
let o=(u,f,m,p)=>{let{X:g,Y:w}=r,[y,x]=Js(n,u,v(14)+(p?.length??0)*v(7),r);return b("g",{class:m,style:`--c:${t}`,transform:`\
translate(${g(u.gain).toFixed(1)},${w(u.ratio).toFixed(1)})`},b("circle",{r:v(f)}),p&&b("text",{x:y*v(f+5),y:v(4)+x,"tex\
t-anchor":y<0?"end":"start"},p))},l=n[n.length-1],h=s>=l.step,d=a==null?null:n.findLast(u=>u.step<=a);return[...(i?rn(n,
r):[]).map(u=>o(u,2.6,"stop",`step ${u.step}`)),n.length>1&&o(n[0],3.5,"begin",e?null:"start"),!e&&o(l,6,h?"end gone":"e\
nd",`step ${l.step}${h?", then NaN":""}`),d&&d!==l&&o(d,5,"now",`step ${a}`)].filter(Boolean)}function rn(t,{X:e,Y:s}){let n=[
t[0],t[t.length-1]];if(t.length<12)return[];for(let r of[.1,.25,.5,.75]){let a=t[Math.round((t.length-1)*r)];n.some(i=>Math.
hypot(e(i.gain)-e(a.gain),s(i.ratio)-s(a.ratio))<v(44))||n.push(a)}return n.slice(2)}function on(t,{X:e,Y:s}){let n=[],r=v(
8);return t.flatMap(({colour:a,letter:i,smoothed:o})=>{let l=i&&o.at(-1);if(!l)return[];let h=e(l.gain),d=s(l.ratio);for(;n.
some(m=>Math.hypot(m.x-h,m.y-d)<2*r);)d+=2;n.push({x:h,y:d});let u=b("path",{class:"line",style:`stroke:${a}`,d:`M${h} ${s(
l.ratio)}V${d}`}),f=b("g",{class:"lettered",style:`--c:${a}`,transform:`translate(${h.toFixed(1)},${d.toFixed(1)})`},b("\
circle",{r}),b("text",{y:v(4),"text-anchor":"middle"},i));return d===s(l.ratio)?[f]:[u,f]})}function an(t,e,{X:s,Y:n},r,a){
let i=o=>{let l=t.getBoundingClientRect(),h=f=>Math.hypot(s(f.gain)-(o.clientX-l.left),n(f.ratio)-(o.clientY-l.top)),u=e.
flatMap(f=>f.smoothed.map(m=>({...m,name:f.name,far:h(m)}))).reduce((f,m)=>m.far<f.far?m:f,{far:30});return"step"in u?u:
null};t.addEventListener("pointermove",o=>{let l=i(o);if(!l)return E.hide();E.show(o,e.length>1&&c("b",null,l.name),`ste\
p ${l.step}: ${l.zone?.head.toLowerCase()??"zone not recorded"}`,`${r} ${$(l.ratio)}`,`gain ${T(l.gain)}`)}),t.addEventListener(
"pointerleave",()=>E.hide()),t.addEventListener("click",o=>{let l=i(o);l&&a&&a(l.step)})}var ln="Overview",nt=20;function kt(t,e,s,n){if(t)return{kind:F(t.severity),head:L(t.name),text:t.message,alert:t};if(n)
return{kind:"warning",head:`Recovered at step ${n.step}`,text:n.message};if(!e)return{kind:"info",head:"Not recorded",text:"\
This run was written without its zones."};let r=["ok","info"].includes(e.kind)?{...e,head:"No alerts"}:e;return e.name!==
"unknown"||!s?r:Dt(s)?{...r,head:L(s)}:{...r,text:`${e.text} Here: ${s}.`}}var Mt=(t,e)=>t.findLast(s=>s.name==="recover\
ed"&&s.step<=e),Vt=t=>({failed:2,unhealthy:2,interrupted:1,unknown:1})[t]??0;async function cn(t){let{alerts:e,step:s,state:n}=t,
r={at:s},a=t.window(600),[i,o,l,h,d,u,f,m]=await Promise.all([xt(t,n.run),t.data.verdict(n.run,s),$e(t,r),$e(t,a),t.seriesOf(
["loss","loss_start","loss_recent","overhead","zone"],r),t.series("effective_lr",{max_cols:600,to:s}),t.seriesOf(["loss",
"loss_expected","effective_lr"],a),t.series("overhead",{at:nt})]),p=l&&mn(l,s),g=p==null?null:await t.metric(i.metric,{from:p,
to:p}),w=o.first==null?null:e[o.first],y=kt(w,dt(t.schema,d.zone,s),i.missing,Mt(e,s)),x=B(t.width,[43,57]),[_,O]=x.widths;
return c("div",{class:"overview"},gn(t,y,V(o,t.run)),c("div",{class:"tiles"},yn(t,{...d,rates:u,first20:m},l,i)),c("div",
{class:"columns",style:x.style},I(S("Where the run is","path"),[un(i.points),J("path",()=>fn(i.points))],$t([{name:n.run,
colour:"var(--trace)",...i}],{width:_-26,height:v(470),metric:i.metric,damage:vt(t.schema,i.metric),step:s,onStep:t.setStep})),
hn(t,{...f,size:h},i,O)),c("div",{class:"columns",style:x.style},I("Alerts",e.length?`${e.length} so far`:null,bn(t)),I(
`Largest ${i.metric==="output_ratio"?"output ratios":"adapters"}`,g?.columns?`${g.first[0]<g.last[0]?"highest of":"at"} ${g.
steps(0)}, log scale`:null,vn(t,g))),we(t,t.width))}function hn(t,{loss:e,loss_expected:s,effective_lr:n,size:r},a,i){let o=t.
lastStep>0,l=P(t.alerts),h=B(i,[1,1],16,520),d={step:t.step,onStep:t.setStep,onZoom:t.zoom,range:t.range(),discarded:l},
u={...d,empty:o?"not logged in this run":a.missing,width:h.widths[0]-26,height:v(190)},f=[{name:"loss",matrix:e,colour:"\
var(--c1)"},{name:"expected",matrix:s,colour:"var(--soft)",dash:"3 3",thin:!0}],m=a.metric==="output_ratio"?"Output rati\
o":"σ₁(ΔW) relative to σ₁(W₀)";return c("div",{class:"stack"},D("Loss",null,f,{...d,term:"loss",width:i-26,height:v(
212),alerts:t.alerts.filter(p=>p.step>0),onAlert:p=>t.openAlert(p,"alerts"),empty:o?"the loss is unknown in this run":a.
missing}),c("div",{class:"columns",style:h.style},D(m,"over adapters",r&&o?dn(r):[],{...u,term:a.metric,log:!0}),D("s · \
lr","per group",o?ke(n):[],{...u,term:"effective_lr",zero:!0,log:l.length>0})))}var dn=t=>["max","p90","median"].map((e,s)=>({
name:e,column:s,matrix:t,colour:`var(--c${[2,1,3][s]})`,thin:s!==1}));function un(t){let e=new Map(t.map(({zone:n})=>[n?.
head??"zone not recorded",n?.colour])),s=([n,r])=>c("span",null,c("i",{style:`--swatch:var(--${r??"trace"})`}),n.toLowerCase());
return c("span",{class:"legend"},[...e].map(s))}var fn=t=>ct([["step","gain","depth-scaled output ratio","zone"],...t.map(
({step:e,gain:s,ratio:n,zone:r})=>[e,s,n,r?.name])]),$e=async(t,e)=>await t.spread("output_ratio",e)??await t.spread("re\
lative_spectral_norm",e);function mn(t,e){return!t.columns||t.first[0]>e?null:t.last[t.columnOf(e)]}var ke=t=>Array.from(
{length:t?.n??0},(e,s)=>s).filter(e=>t.columns&&Number.isFinite(t.high[(t.columns-1)*t.n+e])).map((e,s)=>({name:`group ${e}`,
matrix:t,column:e,colour:`var(--c${1+s%6})`}));function V({verdict:t,message:e},{wall_time:s},n=Date.now()/1e3){let r=(e??
"").split(`
`)[0];if(t==="ok")return{word:"finished",kind:"ok",text:"Training came to its end."};if(t==="unhealthy")return{word:"fin\
ished unhealthy",kind:"error",text:r};if(t==="unknown")return{word:"not measured",kind:"warning",text:r};if(t==="failed")
return{word:"ended by fail_on",kind:"error",text:r};if(t==="interrupted")return{word:"interrupted",kind:"warning",text:r};
if(t!=="running")return null;let a=(n-s)/60;if(a<15)return{word:"running",kind:"info",text:"Training goes on."};let[i,o]=a<
120?[a,"min"]:a<2880?[a/60,"h"]:[a/1440,"days"];return{word:`silent for ${Math.round(i)} ${o}`,kind:"warning",text:"The \
run wrote nothing since, not even its end: killed, or very slow."}}var pn=({step:t,last_step:e,closed_step:s})=>s==null?
`since step ${t}`:e>t?`steps ${t}–${e}`:`at step ${t}`;function gn(t,{kind:e,head:s,text:n,alert:r},a){let i=r?.remedies?.[0],
o=j.map(l=>{let h=t.alerts.filter(d=>d.severity===l).length;return c("button",{class:`chip ${F(l)}`,disabled:!h,title:"s\
how alerts of this severity",onclick:()=>t.set({view:"alerts",level:l})},R(l,11),c("b",null,h),l.toLowerCase()+(l==="INF\
O"||h===1?"":"s"))});return c("section",{class:`banner ${e}`,id:"verdict"},c("div",{class:"sign","aria-hidden":"true"},e===
"ok"?"✓":R(e.toUpperCase(),30)),c("div",{class:"words"},c("h1",null,s,a&&st(a.word,a.text,{id:"ended",class:`badge ${a.
kind}`}),r&&c("small",null,pn(r))),c("p",null,n),i&&c("p",{class:"fix"},c("b",null,"Try"),i)),c("div",{class:"chips"},o))}
var _t=t=>t?.replace("alpha","α").replace("sqrt(r)","√r");function wn(t){let e=new Map;for(let n of t)e.set(n,(e.get(
n)??0)+1);let s=[...e].sort((n,r)=>r[1]-n[1]).map(([n])=>n);return s.length>1?`${$(s[0])}…`:$(s[0])}function Me(t,e,s=[]){
let n=null,r=a=>s.some(([i,o])=>i<=t.last[a]&&t.first[a]<=o);for(let a=0;a<(t?.columns??0)&&t.first[a]<=e;a++)for(let i=0;i<
t.n&&!r(a);i++){let o=t.high[a*t.n+i];Number.isFinite(o)&&(n==null||o>n)&&(n=o)}return n}var K=(t,e,s,n,r)=>c("div",{class:"\
tile"},c("span",{class:"name"},S(t,e)),c("span",{class:"value"},s),c("span",{class:"note"},n??" "),r);function yn(t,e,s,n){
let{loss:r,rates:a,overhead:i,first20:o}=e,{schema:l,adapters:h,step:d}=t,u=ut(e,d),f=s?.at(d,1),m=i?.at(d),p=l.max_steps,
g=p?Math.min(1,d/p):null,w=h[0]?.scale_formula,y=n.metric==="output_ratio"?["Depth-scaled output ratio","depth-scaled ou\
tput ratio"]:["σ₁ relative to W₀ × depth",n.metric],x=["r","alpha","scale"].map(_=>wn(h.map(O=>O[_]))).join(" / ");
return[K("Step","step",[String(d),p&&c("small",null,` / ${p}`)],g==null?null:`${T(g)} of the schedule`,g!=null&&c("i",{class:"\
progress",style:`--share:${g}`})),K("Loss","loss",$(r?.at(d)),Number.isFinite(u)?`gain ${T(u)}, mean of five`:null),K(...y,
$(f==null?null:n.depth*f),f==null?"not measured":`${$(f)} × depth ${$(n.depth)}`),K("s · lr, peak","effective_lr",$(Me(
a,d,P(t.alerts))),_e(l)),h.length?h.every(_=>!_.r)?K("Method",null,w?.replace("'s own","")??"–","has no A, B and scale"):
K("r / α / s","scale",x,w?`s = ${_t(w)}`:null):K("Method",null,"–","no adapters"),K("Adapters","adapters",String(h.length),
l.config?.model_type??l.optimizer),K("Overhead","overhead",m==null||!t.lastStep?"–":T(m,1),t.lastStep?d>nt&&o?.last?.[o.
columnOf(nt)]===nt?`of the time; first ${nt} steps: ${T(o.at(nt),1)}`:"of the wall time so far":n.missing)]}function _e({
config:t,peak_lr:e}){let{rate:s,low:n,high:r}=t?.find_lr??{},a=n!=null&&r!=null?` (${$(n)} to ${$(r)})`:"";return s!=null&&
s===t?.learning_rate?`lr ${$(s)}, found by a sweep${a}`:e?.length?`lr peaks at ${$(Math.max(...e))}`:null}var Nt=({rules:t})=>t?.
length?`No alert: ${t.length} rules watch this run.`:"No alert in this run.";function bn(t){if(!t.alerts.length)return c(
"p",{class:"none"},`✓ ${Nt(t.schema)}`);let e=[...t.alerts].sort((n,r)=>j.indexOf(n.severity)-j.indexOf(r.severity)||n.
step-r.step),s=n=>c("button",{class:"row",onclick:()=>t.openAlert(n,"alerts")},R(n.severity),c("b",null,L(n.name)),c("sp\
an",{class:"note"},`step ${n.step}`),c("span",{class:"clip"},n.message));return c("ol",{class:"alert-list"},e.slice(0,6).
map(n=>c("li",null,s(n))))}function vn(t,e){if(!e?.columns)return c("p",{class:"none"},"Not measured up to this step.");
let s=t.adapters.map(i=>({adapter:i,value:e.high[i.index]})).filter(({value:i})=>i>0).sort((i,o)=>o.value-i.value);if(!s.
length)return c("p",{class:"none"},"Nothing is above zero at this step.");let n=Math.log10(s[0].value),r=Math.min(n-1,Math.
log10(s[s.length-1].value)),a=({adapter:i,value:o})=>c("button",{class:"row",title:i.name,onclick:()=>t.set({view:"layer",
adapter:i.name})},c("span",{class:"clip"},i.short),c("i",{style:`--share:${(Math.log10(o)-r)/(n-r)}`}),c("b",null,$(o)));
return c("ol",{class:"bars"},s.slice(0,9).map(i=>c("li",null,a(i))))}var Zt={};ot(Zt,{draw:()=>An,title:()=>Sn});function Kt(t){return t.closed_step==null?1/0:t.last_step-t.step+1}var St=t=>`${t.rule}@${t.step}`,Gt=(t,e)=>t.closed_step==
null?e?"to the end":"still open":`${Kt(t)} step${t.last_step>t.step?"s":""}`;async function Ne(t,e,s,n){let r=e.adapters?.[0]&&
t.adapters.find(({name:a})=>a===e.adapters[0].name);return c("section",{class:`card detail ${F(e.severity)}`,id:"detail"},
c("header",null,R(e.severity,16),c("h2",null,L(e.name)),c("span",{class:"note"},`${e.rule} · step ${e.step} · ${Gt(e,s)}`)),
c("p",{class:"message"},e.message),$n(t,e),Ae("Likely causes",e.causes,"ol"),await Mn(t,e,r,n),c("div",{class:"actions"},
c("button",{id:"to-layer",disabled:!r,onclick:()=>t.openAlert(e,"layer")},"See the layer"),c("button",{id:"to-heatmap",disabled:!t.
run.metrics.length,onclick:()=>t.openAlert(e,"heatmap")},"See it in the heatmap")),Nn(t,e))}var Se=(t,e)=>t.adapters.find(
s=>s.name===e)?.short??e,Ae=(t,e,s)=>e?.length?[c("h3",null,t),c(s,{class:"advice"},e.map(n=>c("li",null,String(n))))]:null;
function xn(t,e){let s=[...t.matchAll(/(?:→ |=)([\d.]+(?:e[+-]?\d+)?)/g)].map(([,n])=>Number(n));return e.every(n=>s.includes(
n))}function $n(t,e){let s=(e.remedies??[]).map(String),n=Object.values(e.settings??{}).filter(o=>typeof o=="number"),r=n.
length?s.findIndex(o=>xn(o,n)):-1,a=kn(t,e,s[r]),i=Ae("Try",s.filter((o,l)=>l!==r),"ul");return r>0?[i,a]:[a,i]}function kn(t,e,s){
let n=Object.entries(e.settings??{}).filter(([,i])=>typeof i=="number");if(!n.length)return null;let r={lora_alpha:t.adapters[0]?.
alpha,learning_rate:t.schema.peak_lr?.[0]},a=n.map(([i,o])=>`${i}=${o}`).join(", ");return c("div",{class:"settings",id:"\
settings"},c("h3",null,"Run again with"),n.map(([i,o])=>c("div",{class:"setting"},c("span",{class:"mono"},i),Number.isFinite(
r[i])&&r[i]!==o&&[c("s",null,at(r[i])),c("span",{"aria-hidden":"true"},"→")],c("b",null,at(o)))),c("button",{class:"qu\
iet",id:"copy",onclick:async i=>{let o=i.currentTarget;try{await navigator.clipboard.writeText(a),o.textContent="copied"}catch{
o.textContent=a}}},"copy"),s&&c("p",{class:"note"},s))}async function Mn(t,e,s,n){let{metric:r}=e,a=t.run.metrics.includes(
r),i=t.window(400),o=null;return a&&s?o={name:`${r}, ${s.short}`,matrix:await t.metric(r,{adapter:s.index,...i})}:t.run.
series.includes(r)&&(o={name:r,matrix:await t.series(r,i)}),o?D(o.name,null,[{...o,colour:"var(--c1)"}],{term:r,width:n-
52,height:v(150),log:a,step:t.step,onStep:t.setStep,onZoom:t.zoom,range:t.range(),discarded:P(t.alerts),alerts:[e],thresholds:a&&
(e.threshold??0)>0?[_n(t,e)]:[]}):null}function _n(t,e){let s=Ut(t.schema),{zone:n}=t.schema.rules?.find(({id:i})=>i===e.
rule)??{},r=n&&["output_ratio","relative_spectral_norm"].includes(e.metric)&&s!==1,a=`threshold ${$(e.threshold)} of a l\
ayer`;return{value:e.threshold,name:r?`${a}: ${$(e.threshold*s)} / depth ${$(s)}`:a}}function Nn(t,e){if(!e.adapters?.length)
return null;let s=({name:n,value:r,text:a})=>c("button",{class:"row",onclick:()=>t.set({view:"layer",adapter:n,step:e.step,
alert:St(e)})},c("span",{class:"mono"},n),c("b",null,r==null?(a??"–").replace("nan","NaN"):$(r)));return[c("h3",null,`\
Adapters, worst first (${e.adapters.length})`),c("ol",{class:"named"},e.adapters.slice(0,40).map(n=>c("li",null,s(n))))]}var Sn="Alerts",qt={severity:["Severity",t=>j.indexOf(t.severity)],rule:["Rule",t=>t.rule],name:["What",t=>t.name],step:[
"Step",t=>t.step],lasted:["Held",Kt],adapters:["Adapters",t=>-(t.adapters?.length??0)]};async function An(t){let{state:e,
alerts:s}=t;if(!s.length)return c("div",null,await Rn(t));let n=!["running",null].includes(t.ending.verdict),r=On(e.sort),
a=s.filter(l=>(!e.level||l.severity===e.level)&&En(l,e.find.toLowerCase())).sort(r.compare),i=a.find(l=>St(l)===e.alert)??
a[0],o=B(t.width,[52,48]);return c("div",null,Wn(t),c("div",{class:"columns",style:`${o.style};align-items:start`},I(null,
null,c("table",{class:"grid",id:"alerts"},In(t,r),c("tbody",null,a.map((l,h)=>Ln(t,l,h,l===i,n)))),!a.length&&c("p",{class:"\
none"},"No alert fits this filter.")),i?await Ne(t,i,n,o.widths[1]):c("div")))}function On(t){let[e,s]=(t||"severity.up").
split("."),n=(qt[e]??qt.severity)[1],r=s==="down"?-1:1;return{by:e,sign:r,compare:(i,o)=>(n(i)<n(o)?-1:n(i)>n(o)?1:0)*r||
i.step-o.step}}function En(t,e){let s=[t.rule,t.name,t.message,...(t.adapters??[]).map(({name:n})=>n)];return!e||s.some(
n=>n.toLowerCase().includes(e))}function Wn(t){let{state:e,alerts:s}=t,n=r=>c("button",{id:`level-${r||"all"}`,"aria-pre\
ssed":String(e.level===r),onclick:()=>t.set({level:r})},r&&R(r,11),r?`${r.toLowerCase()} ${s.filter(a=>a.severity===r).length}`:
`all ${s.length}`);return c("div",{class:"toolbar"},c("div",{class:"segment",role:"group","aria-label":"severity"},["",...j].
map(n)),c("input",{id:"find",type:"search",placeholder:"rule, text or adapter",value:e.find,"aria-label":"filter",oninput:r=>t.
set({find:r.target.value})}))}function In(t,{by:e,sign:s}){let n=(r,a)=>c("th",{"aria-sort":r===e?s>0?"ascending":"desce\
nding":null},S(a),c("button",{id:`sort-${r}`,class:"sort","aria-label":`sort by ${a}`,onclick:()=>t.set({sort:`${r}.${r===
e&&s>0?"down":"up"}`})},r===e?s>0?"↑":"↓":"↕"));return c("thead",null,c("tr",null,Object.entries(qt).map(([r,[a]])=>n(
r,a))))}function Ln(t,e,s,n,r){let{severity:a,rule:i,name:o,step:l,adapters:h}=e;return c("tr",{class:n?"chosen":null,"d\
ata-alert":St(e),onclick:()=>t.openAlert(e),onkeydown:Fn},c("td",null,c("span",{class:`tag ${F(a)}`},R(a,11),a.toLowerCase())),
c("td",{class:"mono"},i),c("td",null,c("button",{id:`alert-${s}`,class:"open","aria-current":String(n)},L(o))),c("td",{class:"\
number"},l),c("td",null,Gt(e,r)),c("td",null,h?.length?[c("span",{class:"mono clip"},Se(t,h[0].name)),h.length>1&&c("sma\
ll",null,` +${h.length-1}`)]:"–"))}function Fn(t){let e={ArrowDown:"nextElementSibling",ArrowUp:"previousElementSiblin\
g"}[t.key];e&&(t.preventDefault(),t.currentTarget[e]?.querySelector(".open").focus())}async function Rn(t){let{rules:e}=await t.
data.rules(t.state.run),s=[...new Set(e.map(({family:n})=>n))];return I(`✓ ${Nt(t.schema)}`,"each opens to its page",c(
"div",{class:"rules"},s.map(n=>c("section",null,c("h3",null,n),e.filter(r=>r.family===n).map(Tn)))))}var Cn={means:"What\
 it means",check:"Check first",fix:"How to fix it",mute:"When to mute it"},Tn=t=>c("details",{class:"rule"},c("summary",
null,R(t.severity,11),c("span",{class:"mono"},t.id),c("span",null,c("b",null,L(t.name)),c("span",{class:"note"},t.summary))),
c("dl",null,Object.entries(Cn).map(([e,s])=>t[e]&&[c("dt",null,s),c("dd",null,t[e])]),[c("dt",null,"All of it"),c("dd",{
class:"mono"},`lora-watch rules ${t.id}`)]));var Jt={};ot(Jt,{draw:()=>zn,flatten:()=>Ot,settings:()=>Le,shortNames:()=>Ie,title:()=>jn});var jn="Compare",We="ABCDEF",At=We.length,Bn=/^(learning_rate|parameters|lora\..*\.(r|lora_alpha|use_rslora|peft_version|inference_mode))$/;
function Ie(t){let e=t.map(s=>s.replace(/\/(runs\/)?[A-Z][a-z]{2}\d\d_\d\d-\d\d-\d\d_[^/]*$/,""));return new Map(t.map((s,n)=>[
s,e.indexOf(e[n])===e.lastIndexOf(e[n])?e[n]:s]))}function Ot(t,e="",s={}){if(t&&typeof t=="object"&&!Array.isArray(t))for(let[
n,r]of Object.entries(t))Ot(r,e?`${e}.${n}`:n,s);else s[e]=Array.isArray(t)?t.map(String).join(", "):t==null?"–":Number.
isInteger(t)?t.toLocaleString("en"):typeof t=="number"?$(t):String(t);return s}function Le(t){let e=t.config?.find_lr,s=n=>[
...new Set(t.adapters.map(r=>r[n]))].map(r=>typeof r=="number"?$(r):String(r??"–")).join(", ")||"–";return{r:s("r"),
α:s("alpha"),s:s("scale"),"formula of s":s("scale_formula"),"peak lr":[...new Set(t.peak_lr??[])].map($).join(", ")||"–",
adapters:String(t.adapters.length),optimizer:t.optimizer??"–",...Ot(e?{...t.config,find_lr:e.rate}:t.config??{}),...Ot(
{versions:t.versions??{}})}}async function zn(t){let e=Object.keys(t.runs).sort((o,l)=>o.localeCompare(l,void 0,{numeric:!0})),
s=Ie(e),n=Pn(t,e),r=Un(n),a=await Promise.all(n.map(async o=>({...await Gn(t,o),label:s.get(o),...r.get(o)}))),i=B(t.width,
[2,1]);return c("div",{class:"compare"},Dn(t,e,s,r),c("div",{class:"columns top",style:i.style},c("div",{class:"stack"},
qn(a),Zn(t,a)),Hn(a,i.widths[1]-26)),c("div",{class:"legend lettered"},a.map(o=>c("span",null,Fe(o),o.label))),Kn(t,a))}
function Pn(t,e){let s=[];try{s=JSON.parse(t.state.runs||"[]").filter(r=>r in t.runs)}catch{}if(s.length)return s;let n=e.
filter(r=>r!==t.state.run).slice(0,At-1);return e.filter(r=>r===t.state.run||n.includes(r))}var Un=t=>new Map(t.map((e,s)=>[
e,{letter:We[s],colour:`var(--c${1+s%6})`}])),Fe=({colour:t,letter:e})=>c("i",{class:"letter",style:`--c:${t}`},e);function Dn(t,e,s,n){
let r=t.state.among.toLowerCase(),a=[...n.keys()],i=l=>t.set({runs:JSON.stringify(n.has(l)?a.filter(h=>h!==l):[...a,l].slice(
-At))}),o=(l,h)=>c("button",{id:`pick-${h}`,class:"chip run","aria-pressed":String(n.has(l)),style:n.has(l)?`--c:${n.get(
l).colour}`:null,title:l,onclick:()=>i(l)},c("i",{class:"letter"},n.get(l)?.letter),s.get(l),Vn(t.runs[l]));return c("di\
v",{class:"toolbar wrap",id:"chosen"},e.length>At&&c("input",{id:"among",type:"search",placeholder:`find one of ${e.length}\
 runs`,"aria-label":"find a run",value:t.state.among,oninput:l=>t.set({among:l.target.value})}),e.map((l,h)=>(n.has(l)||
l.toLowerCase().includes(r))&&o(l,h)),c("span",{class:"note"},`up to ${At} runs`))}function Vn(t){let e=V(t,t);return e&&
c("span",{class:`badge ${e.kind}`},e.word)}function Hn(t,e){let s=t.filter(({path:a})=>a.missing),n=t.find(({path:a})=>!a.
missing)?.path.metric,r=t.map(({label:a,letter:i,colour:o,path:l})=>({name:a,letter:i,colour:o,...l}));return I(S("Where\
 the runs went","path"),null,s.length>0&&c("p",{class:"note"},`Without a path: ${s.map(({letter:a,path:i})=>`${a} (${i.missing}\
)`).join(", ")}.`),s.length<t.length&&$t(r,{width:e,height:v(460),metric:n,damage:vt(t[0].schema,n)}))}function Kn(t,e){
let s=B(t.width,[1,1,1]),n={log:!0},r={legend:!1,width:s.widths[0]-26,height:v(170),range:t.range(Math.max(...e.map(({name:i})=>t.
runs[i].step))),step:t.state.step===""?null:t.step,onStep:t.setStep,onZoom:t.zoom},a=(i,o,l,h,d,u)=>D(i,o,e.map(f=>({name:f.
label,letter:f.letter,matrix:f[h],column:d,colour:f.colour})),{term:l,...r,...u});return c("div",{class:"columns",style:s.
style},a("Loss","mean of five steps","loss","loss_recent",0),a("Output ratio","90th percentile","output_ratio","output_r\
atio",1,n),a("‖ΔW‖, median","over adapters","delta_norm","delta_norm",2,n),a("‖ΔW‖, largest","over adapters","\
delta_norm","delta_norm",0,n),a("‖ΔW‖ / ‖W₀‖, median","over adapters","relative_norm","relative_norm",2,n),a(
"Effective rank, median","over adapters","effective_rank","effective_rank",2),a("s · lr","first group","effective_lr","\
effective_lr",0,{log:e.some(({alerts:i})=>P(i).length>0)}),a("Learning rate","first group","lr","lr",0),a("Scale s","med\
ian","scale","scale",2))}var Oe=["loss_recent","effective_lr","lr"],Ee=["output_ratio","delta_norm","relative_norm","sca\
le","effective_rank"];async function Gn(t,e){let s=t.window(400),n={at:t.runs[e].step},[r,{alerts:a},i,o,l,h,d,u]=await Promise.
all([t.data.schema(e),t.data.alerts(e),t.data.verdict(e),xt(t,e),t.seriesOf(["loss","loss_start","loss_recent","zone"],n,
e),t.spread("delta_norm",n,e),Promise.all(Oe.map(p=>t.series(p,s,e))),Promise.all(Ee.map(p=>t.spread(p,s,e)))]),f=[...Oe,
...Ee].map((p,g)=>[p,[...d,...u][g]]),m=V(i,t.runs[e]);return Object.assign(l,{delta_norm:h}),{name:e,schema:r,alerts:a,
ending:i,path:o,end:m,last:l,settings:Le(r),...Object.fromEntries(f)}}var Re=(t,e)=>c("thead",null,c("tr",null,c("th",null,
e),t.map(s=>c("th",{title:s.name},Fe(s),s.label)))),Ce=(t,e,s,...n)=>c("div",{class:"scroll",tabindex:0,role:"region","a\
ria-label":s},c("table",{class:"grid sets",id:t,style:`min-width:${12+8*e.length}rem`},n));function qn(t){let e=[...new Set(
t.flatMap(o=>Object.keys(o.settings)))].filter(o=>!Bn.test(o)),s=o=>t.filter(l=>o in l.settings).map(l=>l.settings[o]),n=e.
filter(o=>new Set(s(o)).size>1),r=e.filter(o=>!n.includes(o)&&s(o).length<t.length),a=o=>c("tr",null,c("th",{scope:"row",
class:"mono"},jt(o)),t.map(l=>c("td",null,c("div",{class:"value"},jt(l.settings[o]??"–"))))),i=(o,l)=>Ce(o,t,"settings",
Re(t,"Setting"),c("tbody",null,l.map(a)));return I("What was set differently",`${e.length-n.length-r.length} settings ar\
e the same`,n.length?i("differences",n):c("p",{class:"none"},t.length>1?"Nothing: these runs have the same settings.":"C\
hoose another run above."),r.length>0&&c("details",{class:"partly"},c("summary",null,`${r.length} settings that some of \
these runs alone have`),i("partly",r)))}function Zn(t,e){let s=[["verdict",({schema:n,alerts:r,ending:a,last:i,path:o})=>{
let l=Mt(r,1/0),h=kt(r[a.first],dt(n,i.zone,1/0),o.missing,l);return[h.kind==="ok"?"✓":R(h.kind.toUpperCase(),11)," ",
h.head]}],["end",({end:n})=>n?st(n.word,n.text,{class:`badge ${n.kind}`}):"–"],["steps",({name:n,schema:r})=>`${t.runs[n].
step}${r.max_steps?` / ${r.max_steps}`:""}`],["loss, mean of five",({last:n})=>{let r=ut(n,1/0);return Number.isFinite(n.
loss?.at(1/0)??0)?[$(n.loss_recent?.at(1/0)),Number.isFinite(r)&&c("small",null,` gain ${T(r)}`)]:"NaN"}],["depth-scaled\
 output ratio",({path:n})=>n.broken>=(n.points.at(-1)?.step??0)?"NaN":$(n.points.at(-1)?.ratio)],["‖ΔW‖, largest",({
last:n})=>$(n.delta_norm?.at(1/0,0))],["‖ΔW‖, median",({last:n})=>$(n.delta_norm?.at(1/0,2))],["alerts",({alerts:n})=>n.
length?j.map(r=>[r,n.filter(a=>a.severity===r).length]).filter(([,r])=>r).map(([r,a])=>c("span",{class:"tally"},R(r,11),
a)):"none"]];return I("What came of it",null,Ce("outcomes",e,"outcomes",Re(e,"Outcome"),c("tbody",null,s.map(([n,r])=>c(
"tr",null,c("th",{scope:"row"},S(n)),e.map(a=>c("td",{class:"number"},[r(a)].flat())))))))}var ee={};ot(ee,{COLOURS:()=>Lt,ROWS:()=>Ft,draw:()=>cr,title:()=>lr});var Jn=[[68,1,84],[71,44,122],[59,81,139],[44,113,142],[33,144,141],[39,173,129],[92,200,99],[170,220,50],[253,231,37]],
Xn={light:[[8,64,129],[49,130,189],[158,202,225],[244,244,242],[253,190,133],[230,97,1],[140,45,4]],dark:[[120,200,255],
[66,146,198],[38,84,124],[40,44,52],[140,71,22],[235,120,30],[255,205,120]]};function Yn(t){let e=new Uint32Array(256);for(let s=0;s<
256;s++){let n=s/255*(t.length-1),r=Math.min(t.length-2,Math.floor(n)),a=n-r,[i,o,l]=[0,1,2].map(h=>Math.round(t[r][h]+(t[r+
1][h]-t[r][h])*a));e[s]=(255<<24|l<<16|o<<8|i)>>>0}return e}var Qn=t=>`linear-gradient(90deg,${t.map(e=>`rgb(${e})`).join(
",")})`,Te=(t,e)=>t==="diverging"?Xn[e?"dark":"light"]:Jn,je=(t,e)=>Yn(Te(t,e)),Be=(t,e)=>Qn(Te(t,e));var ze="#ff00a8";function De(t,e,s,n,r,a,i){let{columns:o,n:l}=s,h=je(n.scale,e.dark),d=t.width,u=new ImageData(d,l),f=new Uint32Array(
u.data.buffer),m=Array.from({length:o+1},(k,A)=>Math.round(s.place(A)*d));r.forEach(({adapter:k},A)=>{for(let M=0;M<o;M++){
let N=n.cells[M*l+k.index];Number.isNaN(N)||f.fill(h[Math.max(0,Math.min(255,N*255|0))],A*d+m[M],A*d+m[M+1])}});let p=new OffscreenCanvas(
d,l);Xt(p).putImageData(u,0,0);let g=Xt(t);g.imageSmoothingEnabled=!1,g.scale(i,i);let w=d/i,y=k=>s.place(k)*w,x=0;for(let k=1;k<=
r.length;k++)k<r.length&&r[k].y===r[k-1].y+a||(g.drawImage(p,0,x,d,k-x,0,r[x].y,w,(k-x)*a),x=k);let _=g.createPattern(Ue(
...e.dark?["#2b2f37","#4b515c"]:["#eceef1","#c3c8d0"],6),"repeat");r.forEach(({adapter:k,y:A})=>{Pe(s,k.index,4,(M,N)=>{
g.fillStyle=_,g.fillRect(y(M),A,y(N)-y(M),a)})});let O=g.createPattern(Ue(null,"#fff",8),"repeat");r.forEach(({adapter:k,
y:A})=>{Pe(s,k.index,3,(M,N)=>{let W=y(N)-y(M),U=Math.round(Math.max(7,W)),q=Math.max(7,a),Q=Math.round(Math.max(0,Math.
min(w-U,(y(M)+y(N))/2-U/2))),rt=Math.round(A+a/2-q/2),he=a<7||W<7;g.fillStyle="#fff",he&&g.fillRect(Q-1.5,rt-1.5,U+3,q+3);
for(g.fillStyle of he?[ze]:[ze,O])g.fillRect(Q,rt,U,q)})})}var Xt=t=>t.getContext("2d");function Pe(t,e,s,n){let r=-1;for(let a=0;a<=
t.columns;a++){let i=a<t.columns&&t.flags[a*t.n+e]&s;i&&r<0&&(r=a),!i&&r>=0&&(n(r,a),r=-1)}}function Ue(t,e,s){let n=new OffscreenCanvas(
s,s),r=Xt(n);t&&(r.fillStyle=t,r.fillRect(0,0,s,s)),r.strokeStyle=e,r.beginPath();for(let a of[-s,0,s])r.moveTo(a,s),r.lineTo(
a+s,0);return r.stroke(),n}var Ve=(t,e)=>s=>(s-t.first[0]+.5)/(t.stepAt(1)-t.first[0]+1)*e;function He(t,e,s,n){let a=b("svg",{class:"strip",width:n,
height:44}),i=Ve(e,n);if(s?.columns){let o=Array.from({length:s.columns},(p,g)=>[(s.first[g]+s.last[g])/2,s.low[g],s.high[g]]).
filter(([p])=>p>=e.first[0]&&p<=e.stepAt(1)),l=o.flatMap(([,...p])=>p).filter(Number.isFinite),h=Math.min(...l),d=Math.max(
...l),u=p=>(41-(p-h)/(d-h||1)*25).toFixed(1),f="",m=!1;for(let[p,g,w]of o){if(!Number.isFinite(w)){m=!1;continue}let y=u(
(g+w)/2);f+=`${m?"L":"M"}${i(p).toFixed(1)} ${y}`,g<w&&(f+=`V${u(w)}V${u(g)}V${y}`),m=!0}a.append(b("path",{d:f,class:"l\
ine",style:"stroke:var(--soft)"}))}for(let o of t.alerts){if(o.step<e.first[0]||o.step>e.end)continue;let l=e.columnOf(o.
step),h=(e.place(l)+e.place(l+1))/2*n;a.append(b("g",{class:`mark severity ${F(o.severity)}`,transform:`translate(${Math.
max(7,h)},8)`,"aria-label":`${o.name} at step ${o.step}`,...pt(()=>t.openAlert(o)),onpointermove:d=>E.show(d,c("b",null,
L(o.name)),`step ${o.step}`,o.message),onpointerleave:()=>E.hide()},b("path",{d:"M0 6V44",class:"stem"}),b("path",{d:lt(
o.severity)})))}return a}function Ke(t,e){let s=b("svg",{class:"axis",width:e,height:v(18)}),n=Ve(t,e);for(let r of H(t.
first[0],t.end,e/v(70)).filter(Number.isInteger)){let a=n(r);s.append(b("text",{x:a,y:v(14),"text-anchor":a<12?"start":a>
e-14?"end":"middle"},r))}return s}function Wt(t,e){if(t.length<=e)return t;let s=t.slice(t.lastIndexOf(".")+1),n=e-s.length-1;return t.includes(".")&&n>1?
`${t.slice(0,n)}…${s}`:`${t.slice(0,e-1)}…`}function qe(t,e){let s=({name:i})=>e.find(o=>i.endsWith(`.${o}`))??"",n=new Set(
t.map(s)).size>1,r=t.map((i,o)=>{let l=s(i),d=(l?i.name.slice(0,-l.length-1):i.name).split(/\.(?!\d+(?:\.|$))/),u=d.findIndex(
m=>m.endsWith(`.${i.layer}`));u>=0&&(d[u]=Et(d[u]));let f=d.pop();return{adapter:i,index:o,front:d,last:f,tail:n&&l?` ${l}`:
""}}),a=new Map;for(let i of r){let o=Et(i.last)+i.tail;a.has(o)||a.set(o,[]),a.get(o).push(i)}for(let i of a.values()){
let o=Ge(i,({front:d,last:u})=>[d.map(Et),Et(u)]),h=new Set(i.map(({adapter:d},u)=>`${d.layer} ${o[u]}`)).size===i.length?
o:Ge(i,({front:d,last:u})=>[d,u]);for(let[d,u]of i.entries())Object.assign(u,{type:o[d]+u.tail,full:h[d]+u.tail})}return r.
map(({adapter:i,index:o,type:l,full:h})=>({...i,index:o,type:l,short:i.layer==null?i.name:`${i.layer} · ${Wt(h,18)}`}))}
var Et=t=>t.replace(/(\.\d+)+$/,"");function Ge(t,e){let s=t.map(e),n=new Map;for(let h of s.flatMap(([d])=>[...new Set(
d)]))n.set(h,(n.get(h)??0)+1);let r=s.map(([h])=>h.filter(d=>n.get(d)<t.length)),a=(h,d)=>[...r[h].slice(0,d),s[h][1]].join(
"."),i=h=>new Set(t.map(({adapter:d},u)=>`${d.layer} ${a(u,h)}`)).size,o=i(1/0),l=0;for(;i(l)<o;)l++;return t.map((h,d)=>a(
d,l))}function Ze(t,e){let s=new Map;for(let n of t){let r=e==="type"?n.type:n.layer==null?"–":`layer ${n.layer}`;s.has(r)||
s.set(r,[]),s.get(r).push(n)}return[...s].map(([n,r])=>({name:n,adapters:r}))}function Je(t){let e=new Float64Array(t.n),
s=[],n=Array.from({length:t.columns},(r,a)=>t.place(a+1)-t.place(a));for(let r=0;r<t.n;r++){s.length=0;let a=0;for(let l=0;l<
t.columns;l++){let h=l*t.n+r,d=(t.low[h]+t.high[h])/2;d>0&&d<1/0&&(s.push([d,n[l]]),a+=n[l])}s.sort((l,h)=>l[0]-h[0]);let i=a/
2,o=0;for(;o<s.length-1&&i>s[o][1];)i-=s[o++][1];e[r]=s.length?s[o][0]:NaN}return e}function Xe(t,e,s){let{columns:n,n:r,
low:a,high:i}=t,o=new Float32Array(n*r);if(e==="rank"){let m=new Uint32Array(r);for(let p=0;p<n;p++){let g=p*r,w=0;for(let y=0;y<
r;y++)Number.isFinite(i[g+y])?m[w++]=y:o[g+y]=NaN;m.subarray(0,w).sort((y,x)=>i[g+y]-i[g+x]);for(let y=0;y<w;y++)o[g+m[y]]=
w>1?y/(w-1):.5}return{cells:o,ends:["lowest","","highest"],scale:"sequential"}}for(let m=0;m<r;m++){let p=e==="relative"&&
Math.log2(s[m])||0;for(let g=m;g<o.length;g+=r){let w=Math.log2(i[g])-p;if(e==="absolute"||a[g]===i[g]){o[g]=w;continue}
let y=Math.log2(a[g])-p;o[g]=Math.abs(y)>Math.abs(w)?y:w}}let l=[],h=Math.max(1,Math.floor(o.length/2e4))|1;for(let m=0;m<
o.length;m+=h)Number.isFinite(o[m])&&l.push(e==="relative"?Math.abs(o[m]):o[m]);l.sort((m,p)=>m-p);let d=m=>l[Math.min(l.
length-1,Math.floor(m*l.length))]??0;if(e==="relative"){let m=d(.88),p=m<.5?.5:Math.min(3,Math.ceil(m));for(let w=0;w<o.
length;w++)o[w]=o[w]/(2*p)+.5;let g=$(2**p);return{cells:o,ends:[`÷ ${g}`,"its median",`× ${g}`],scale:"diverging"}}let u=l.
at(-1)??0;for(let m of o)m>u&&m<1/0&&(u=m);let f=Math.min(d(.01),u-1e-6);for(let m=0;m<o.length;m++)o[m]=(o[m]-f)/(u-f);
return{cells:o,ends:[`≤ ${$(2**f)}`,"log",$(2**u)],scale:"sequential"}}var Ye=t=>Math.max(11,Math.min(22,Math.max(...t.adapters.map(({type:e})=>e.length)))),It=t=>v(108+6*(Ye(t)-11));function Qe(t,e,s,n,r,a){
let i=tr(t,e),{rows:o,size:l,height:h}=i,d=Math.max(1,Math.min(3,devicePixelRatio||1)),u=c("canvas",{id:"heat",width:Math.
round(a*d),height:Math.round(h*d),tabindex:0,role:"application","aria-roledescription":"heatmap",style:`width:${a}px;hei\
ght:${h}px`,"aria-label":`${t.state.metric} of ${e.n} adapters at ${e.columns} columns of steps; arrow keys go from cell\
 to cell, Enter opens the adapter`});De(u,t,e,n,o,l,d);let f=er(t,e,i,a);return sr(u,t,e,o,f,r,a),rr(u,t,e,o),c("div",{class:"\
plot",style:`grid-template-columns:${It(t)-4}px ${a}px`},c("span",{class:"strip-name"},"loss"),He(t,e,s,a),or(t,e,i),c("\
div",{class:"stage",style:`width:${a}px;height:${h}px`},u,f.overlay),c("span",{class:"strip-name"},"step"),Ke(e,a))}function tr(t,{
n:e}){let s=Ze(t.adapters,t.state.rows),n=Math.max(300,innerHeight-v(252)),r=s.length<=40?3:e+s.length<=n?1:0,a=Math.max(
1,Math.min(v(30),Math.floor((n-r*s.length)/e))),i=[],o=[],l=0;for(let h of s){let d=l;for(let u of h.adapters)i.push({adapter:u,
y:l}),l+=a;o.push({name:h.name,y:(d+l)/2,height:l-d}),l+=r}return{rows:i,labels:o,size:a,height:l-r}}function er(t,e,{rows:s,
size:n,height:r},a){let i=y=>e.place(y)*a,o=y=>Math.max(1.5,i(y+1)-i(y)),l=b("svg",{class:"overlay",width:a,height:r}),h=e.
columnOf(t.step);t.step>=e.first[0]&&l.append(b("rect",{class:"at",x:i(h)-.5,y:0,width:o(h)+1,height:r}));let d=t.state.
adapter&&s.find(y=>y.adapter.name===t.state.adapter);d&&l.append(b("rect",{class:"at",x:.5,y:d.y-.5,width:a-1,height:n+1}));
let u=b("rect",{class:"cross",height:n+2,width:a}),f=b("rect",{class:"cross",height:r}),m=b("rect",{class:"select",y:0,height:r});
return l.append(u,f,m),{overlay:l,select:(y,x)=>{m.setAttribute("x",Math.min(y,x)),m.setAttribute("width",Math.abs(y-x)),
m.style.display="block"},point:(y,x)=>{u.setAttribute("y",y.y-1),f.setAttribute("x",i(x)),f.setAttribute("width",o(x)),u.
style.display=f.style.display="block"},leave:()=>{u.style.display=f.style.display="none"}}}function sr(t,e,s,n,r,a,i){let o=h=>{
let d=t.getBoundingClientRect(),u=h.clientX-d.left,f=h.clientY-d.top,m=n.findLast(p=>p.y<=f);return{px:u,row:m,column:s.
columnOf(s.stepAt(u/i))}},l=null;t.addEventListener("pointermove",h=>{let{row:d,column:u,px:f}=o(h);l!=null&&Math.abs(f-
l)>4&&r.select(f,l),d&&(r.point(d,u),E.show(h,...nr(s,u,d.adapter,a[d.adapter.index])))}),t.addEventListener("pointerlea\
ve",()=>{r.leave(),E.hide()}),t.addEventListener("pointerdown",h=>{l=o(h).px,t.setPointerCapture(h.pointerId)}),t.addEventListener(
"pointercancel",()=>{l=null}),t.addEventListener("pointerup",h=>{let{px:d,row:u,column:f}=o(h),m=l;if(l=null,m!=null&&Math.
abs(d-m)>4){let p=g=>s.columnOf(s.stepAt(g/i));e.set({from:s.first[p(Math.min(d,m))],to:s.last[p(Math.max(d,m))]})}else if(u){
let p=s.last[f];e.set({view:"layer",adapter:u.adapter.name,step:p>=e.lastStep?"":p})}})}function nr(t,e,{name:s,index:n},r){
let a=e*t.n+n,i=t.flags[a],o=t.high[a];return[c("b",null,s),`${t.steps(e)}: ${t.say(e,n,$)||"–"}`,Number.isFinite(o)&&
r>0&&`${$(o/r)} × its median`,i&3?c("strong",null,ht(i)):null]}function rr(t,e,s,n){let r=s.columnOf(e.step),a=n.find(o=>o.
adapter===e.adapter)??n[0],i=()=>{let{name:o,index:l}=a.adapter;e.say(`${o}, ${s.steps(r)}: ${s.say(r,l,$)||"not measure\
d"}`)};t.addEventListener("focus",i),document.activeElement?.id==="heat"&&i(),t.addEventListener("keydown",o=>{let l=o.shiftKey?
Math.max(1,Math.round(s.columns/20)):1,h={ArrowUp:[-1,0],ArrowDown:[1,0],ArrowLeft:[0,-l],ArrowRight:[0,l]}[o.key];if(o.
key==="Enter"&&e.set({view:"layer",adapter:a.adapter.name}),!h)return;o.preventDefault(),o.stopPropagation();let d=n[(n.
indexOf(a)+h[0]+n.length)%n.length],u=s.last[Math.max(0,Math.min(s.columns-1,r+h[1]))],f=h[1]?u>=e.lastStep?"":u:e.state.
step;e.set({adapter:d.adapter.name,step:f})})}function or(t,{n:e},{rows:s,labels:n,size:r,height:a}){let i=It(t),o=b("sv\
g",{class:"gutter",width:i-6,height:a}),l=r>=v(11)&&n.length<e,h=-99;for(let d of n)d.y-h<v(12)||(h=d.y,o.append(b("text",
{x:l?i-v(36):i-12,y:d.y+v(4),"text-anchor":"end",class:"group"},Wt(d.name,Ye(t)+(l?0:4)),b("title",null,d.name))));for(let d of l?
s:[])o.append(b("text",{x:i-12,y:d.y+r/2+v(4),"text-anchor":"end",class:"item"},t.state.rows==="type"?d.adapter.layer??"":
Wt(d.adapter.type.replace(/_proj$/,""),5)));return o}var ar=12;function ts(t,e){if(t.step<e.first[0])return c("p",{class:"none"},"Nothing was measured up to this step.");let s=e.
columnOf(t.step)*e.n,n=t.adapters.map(o=>({adapter:o,value:e.high[s+o.index],flags:e.flags[s+o.index]})).filter(({flags:o})=>!(o&
4)).map(o=>({...o,broken:o.flags&3})),r=n.filter(({broken:o})=>!o).sort((o,l)=>o.value-l.value);if(!n.some(({broken:o,value:l})=>o||
l!==0))return c("p",{class:"none"},n.length?"Nothing is above zero at this step.":"Not measured at this step.");let a=r[r.
length>>1]?.value,i=({broken:o,value:l})=>o?1/0:Math.abs(Math.log2(l/a));return c("ol",{class:"standout"},n.sort((o,l)=>i(
l)-i(o)||l.value-o.value).slice(0,ar).map(({adapter:o,value:l,broken:h})=>c("li",null,c("button",{class:"row",title:o.name,
onclick:()=>t.set({view:"layer",adapter:o.name})},c("span",{class:"clip"},o.short),c("b",null,h?ht(h):$(l)),c("small",{class:h?
"broken":null},h?"":ir(l/a))))))}var ir=t=>t<1?`÷ ${$(1/t)}`:`× ${$(t)}`;var lr="Heatmap",Lt={absolute:"value",relative:"relative to its own median",rank:"rank among adapters"},Ft={type:"by mod\
ule",depth:"by depth"},Qt=()=>v(268);async function cr(t){let{state:e,adapters:s}=t,n=hr(t);if(!s.length||!e.metric)return c(
"p",{class:"empty-page"},"This run has no adapters.");let r=t.width>3*Qt(),a=t.width-(r?Qt()+16:0)-28,i=a-It(t)-4,o=Math.
max(50,Math.floor(i/50)*50),l=e.from!==""||e.to!=="",h=await t.metric(e.metric,{max_cols:o}),[d,u]=await Promise.all([l?
t.metric(e.metric,{max_cols:o,from:e.from,to:e.to}):h,t.series("loss",{max_cols:2e3})]);if(t.notes=[...new Set([...t.notes,
...d.notes])],!d.columns)return c("div",null,n,c("p",{class:"empty-page"},"No step of this metric lies in the chosen ran\
ge."));t.data.prefetched!==e.run&&ur(t,o),h.until=t.lastStep,d.until=Math.min(t.lastStep,e.to===""?1/0:Number(e.to));let f=es(
h,"middles",()=>Je(h)),m=es(d,`${e.colour}`,()=>Xe(d,e.colour,f)),p=Qe(t,d,u,m,f,i);return c("div",{class:"heat"},n,c("d\
iv",{class:"columns",style:`grid-template-columns:minmax(0,1fr)${r?` ${Qt()}px`:""}`},c("section",{class:"card"},dr(t,d,
m),p),c("section",{class:"card side"},c("header",null,c("h2",null,S(`Stand out at ${d.steps(d.columnOf(t.step))}`,"Stand\
 out"))),ts(t,d))))}function hr(t){let{state:e,run:s}=t,n=(r,a)=>c("div",{class:"segment",role:"group","aria-label":r},Object.
entries(a).map(([i,o])=>c("button",{id:`${r}-${i}`,"aria-pressed":String(e[r]===i),onclick:()=>t.set({[r]:i})},o)));return c(
"div",{class:"toolbar"},c("span",{class:"pick"},S("Metric",e.metric),c("select",{id:"metric","aria-label":"metric",onchange:r=>t.
set({metric:r.target.value})},s.metrics.map(r=>c("option",{value:r,selected:r===e.metric},r)))),c("span",{class:"pick"},
S("Colour"),n("colour",Lt)),c("span",{class:"pick"},S("Rows"),n("rows",Ft)),c("span",{class:"note"},"drag to zoom, click\
 for the adapter"))}function dr(t,e,s){return c("div",{class:"scale"},c("span",{class:"bar"},c("i",{style:`background:${Be(
s.scale,t.dark)}`}),c("span",null,s.ends.map(n=>c("span",null,n)))),c("span",{class:"key"},c("i",{class:"nan"}),"NaN or \
Inf"),c("span",{class:"key"},c("i",{class:"hatched"}),"not measured"),c("span",{class:"grow"}),J(t.state.metric,()=>gt(t.
adapters.map(({name:n,index:r})=>({name:n,matrix:e,column:r})))),c("span",{class:"note"},e.pooled?`${e.rows} steps in ${e.
columns} columns; extremes and NaN kept`:`${e.rows} ${e.rows===1?"step was":"steps were"} read`))}async function ur(t,e){
let{run:s}=t.state;t.data.prefetched=s;for(let n of t.run.metrics){if(t.state.run!==s)return;await t.data.metric(s,n,{max_cols:e}).
catch(()=>{})}}var te=new WeakMap;function es(t,e,s){te.has(t)||te.set(t,new Map);let n=te.get(t);return n.has(e)||n.set(
e,s()),n.get(e)}var se={};ot(se,{draw:()=>mr,figuresOf:()=>ns,title:()=>fr});var fr="Layer",ss=[["‖ΔW‖ and what Adam can reach","Frobenius norm",[["delta_norm","delta_norm"],["predicted_norm",
"predicted_norm","5 4"],["drift_norm","drift_norm","2 3"]],!0],["Output ratio","‖ΔW·x‖ / ‖W₀·x‖ on the step’s tokens",
[["output_ratio","output_ratio"]],!0],["Relative to the base weight","ΔW against W₀",[["relative_norm","Frobenius"],[
"relative_spectral_norm","spectral"]],!0],["Largest singular value","σ₁(ΔW)",[["spectral_norm","spectral_norm"]],!0],
["Ranks in use","of r",[["effective_rank","effective_rank"],["stable_rank","stable_rank"]],!1],["Factors","Frobenius nor\
ms",[["a_norm","A"],["b_norm","B"]],!0],["Gradients","as they reach the optimizer",[["a_grad_norm","A"],["b_grad_norm","\
B"]],!0],["Product","‖B·A‖, without the scale",[["product_norm","product_norm"]],!0],["Update in one step","‖ΔW now\
 − ΔW before‖",[["step_norm","step_norm"]],!0],["Updates that arrived","share of 64 numbers that changed",[["a_chan\
ged","A"],["b_changed","B"]],!1],["Base weight","‖W − W₀‖ / ‖W₀‖, 0 where it rests",[["base_drift","base_d\
rift"]],!0],["s · lr","scale × learning rate",[["effective_lr","effective_lr"]],!1],["Scale s","the live factor",[["sc\
ale","scale"]],!1]];async function mr(t){let{adapter:e,run:s,state:n}=t;if(!e)return c("p",{class:"empty-page"},"This ru\
n has no adapters.");let r=t.width>v(1260)?4:3,a=B(t.width,Array(r).fill(1)),i=a.widths[0],o=new Set(ss.flatMap(([,,w])=>w.
map(([y])=>y))),l=[...ss,...s.metrics.filter(w=>!o.has(w)).map(w=>[L(w),null,[[w,w]],!0])].map(([w,y,x,_])=>({name:w,note:y,
log:_,several:x.length>1,metrics:x.filter(([O])=>s.metrics.includes(O))})).filter(({metrics:w})=>w.length),h=l.flatMap(({
metrics:w})=>w.map(([y])=>y)),d={max_cols:400,adapter:e.index,from:n.from,to:n.to},u={...d,from:n.from||1},f=Object.fromEntries(
await Promise.all(h.map(async w=>[w,await t.metric(w,w==="effective_lr"?u:d)]))),m=await t.data.spectrum(n.run,e.index,t.
state.step===""?null:t.step).catch(()=>({})),p=t.alerts.filter(w=>w.adapters?.some(({name:y})=>y===e.name)),g=ns(m.sigma)??
await gr(t);return c("div",{class:"layer"},pr(t,p),c("div",{class:"columns",style:a.style},wr(t,g,m,i),l.map(({name:w,note:y,
metrics:x,log:_,several:O})=>{let k=x.map(([M,N,W],U)=>({name:N,matrix:f[M],colour:W?"var(--soft)":`var(--c${U+1})`,dash:W})),
A=k.length>1||O;return D(w,y,k,{legend:A,term:x[0][0],width:i-26,height:v(150)+(A?0:v(21)),log:_||x[0][0]==="effective_l\
r"&&P(t.alerts).length>0,range:t.range(),step:t.step,onStep:t.setStep,onZoom:t.zoom,discarded:P(t.alerts),alerts:p.filter(
M=>x.some(([N])=>N===M.metric)),onAlert:M=>t.openAlert(M,"alerts")})})))}function pr(t,e){let{adapter:s,adapters:n,schema:r}=t,
a=r.peak_lr?.[s.group??-1],i=l=>t.set({adapter:n[(s.index+l+n.length)%n.length].name}),o=(l,h,d)=>h!=null&&c("div",null,
c("dt",null,l),c("dd",null,h,d&&c("small",null,` ${d}`)));return c("section",{class:"card layer-head"},c("div",{class:"t\
itle"},c("button",{id:"before",class:"quiet",title:"adapter before (↑)",onclick:()=>i(-1)},"‹"),c("select",{id:"adap\
ter","aria-label":"adapter",title:s.name,onchange:l=>t.set({adapter:l.target.value})},n.map(l=>c("option",{value:l.name,
selected:l===s},l.name))),c("button",{id:"after",class:"quiet",title:"adapter after (↓)",onclick:()=>i(1)},"›"),c("s\
pan",{class:"note"},`${s.index+1} of ${n.length}`),c("span",{class:"grow"}),e.length?e.map(l=>c("button",{class:"chip",onclick:()=>t.
openAlert(l,"alerts"),title:l.message},R(l.severity,11),`${L(l.name)}, step ${l.step}`)):c("span",{class:"note"},"✓ no a\
lert names this adapter")),c("dl",{class:"facts"},o(S("Kind"),s.kind),s.d_out!=null&&o(S("W₀"),`${s.d_out} × ${s.d_in}`),
(s.r??0)>0&&o(S("B · A"),`${s.d_out} × ${s.r} · ${s.r} × ${s.d_in}`),o(S("r","r"),s.r||null),o(S("α","alpha"),s.alpha==
null?null:$(s.alpha)),o(S("s","scale"),s.scale==null?null:$(s.scale),_t(s.scale_formula)),o(S("Group","group"),s.group==
null?"in no optimizer group":String(s.group),a!=null?`lr ≤ ${$(a)}`:null),o(S("Trainable"),s.trainable?.toLocaleString(
"en")),o(S("‖W₀‖","base_norm"),s.base_norm==null?"unknown":$(Number(s.base_norm))),o(S("σ₁(W₀)","base_spectra\
l_norm"),s.base_spectral_norm==null?"unknown":$(Number(s.base_spectral_norm)))))}function ns(t){if(!t?.length)return null;
let e=t.map(a=>a??Number.NaN),s=e.reduce((a,i)=>a+i,0),n=e.reduce((a,i)=>a+i*i,0);if(s===0)return{effective:0,stable:0,share:Number.
NaN};let r=e.reduce((a,i)=>a-(i&&i/s*Math.log(i/s)),0);return{effective:Math.exp(r),stable:n/e[0]**2,share:e[0]**2/n}}async function gr(t){
let{adapter:e,run:s}=t,n=async(u,f)=>s.metrics.includes(u)?t.metric(u,{at:f,adapter:e.index}):null,r=await n("spectral_n\
orm",t.step),a=r?.columns?r.last[r.columnOf(t.step)]:t.step,i=await Promise.all(["delta_norm","stable_rank","effective_r\
ank"].map(u=>n(u,a))),[o,l,h,d]=[r,...i].map(u=>u?.at(a)??Number.NaN);return{effective:d,stable:h,share:(o/l)**2}}function wr({
adapter:t,step:e},{effective:s,stable:n,share:r},a,i){let{step:o,sigma:l,first_step:h,first_sigma:d}=a,u=t.r??1,f=i-26,m=p=>Number.
isNaN(p)?"–":$(p);return I(S(`Spectrum at step ${o??e}`,"spectrum"),u>0?`σ of ΔW, r = ${u}`:"of ΔW",c("div",{class:"\
figures"},c("div",null,c("b",null,m(s)),S("effective rank","effective_rank")),c("div",null,c("b",null,m(n)),S("stable ra\
nk","stable_rank")),c("div",null,c("b",null,Number.isFinite(r)?T(r):"–"),"of ‖ΔW‖² in σ₁")),yr(l,h===o?null:d,
h,f,t.r?"not written up to this step":"of this method σ₁ alone is measured"))}function yr(t,e,s,n,r){let a=v(112),i=Z(
"spectrum",n,a,"singular values of ΔW, largest first",{id:"spectrum"}),o=[...t??[],...e??[]].filter(h=>h>0);if(!o.length)
return i.append(et(n/2,a/2,t?.length?"ΔW is zero":r)),i;let l=br(o,t.length,n,a);return i.append(...Y(X(l.low,l.high,(l.
foot-l.top)/v(18)),l,l.Y)),t.forEach((h,d)=>{let u=e?.[d]!=null&&`${$(e[d])} at step ${s}`;i.append(...xr(h,d,t.length,u,
l))}),i.append(...vr(l)),e?.some(h=>h>0)&&i.append(...$r(e,s,l)),i}function br(t,e,s,n){let r=v(58),a=v(12),i=n-v(22),o=Math.
log10(Math.max(...t))+.1,l=Math.max(o-4,Math.min(Math.log10(Math.min(...t))-.2,o-1)),h=d=>i-(Math.max(l,Math.min(o,Math.
log10(d)))-l)/(o-l)*(i-a);return{left:r,right:s,top:a,foot:i,height:n,low:l,high:o,slot:(s-r)/e,Y:h}}var vr=({left:t,top:e,
foot:s,height:n})=>[b("text",{class:"axis-name","text-anchor":"middle",transform:`translate(${v(10)},${(e+s)/2})rotate(-\
90)`},"σ, log"),b("text",{class:"axis-name",x:t-8,y:n-4,"text-anchor":"end"},"index")];function xr(t,e,s,n,{left:r,right:a,
top:i,foot:o,height:l,slot:h,Y:d}){let u=r+(e+.5)*h,f=Math.ceil(s/Math.max(1,Math.floor((a-r)/v(26))));return[b("circle",
{cx:u,cy:t>0?d(t):o,r:Math.max(1,Math.min(4,h/3)),class:"sigma"}),b("rect",{x:r+e*h,width:h,y:i,height:o-i,fill:"transpa\
rent",onpointermove:m=>E.show(m,`σ${e+1} = ${t==null?"not finite":$(t)}`,n),onpointerleave:()=>E.hide()}),...e%f===0?[b(
"text",{x:u,y:l-4,"text-anchor":"middle"},e+1)]:[]]}var $r=(t,e,{left:s,right:n,slot:r,Y:a})=>[b("path",{class:"then",d:t.
map((i,o)=>i>0?`M${s+o*r} ${a(i)}h${r}`:"").join("")}),b("text",{x:n,y:v(9),"text-anchor":"end"},`– at step ${e}`)];var G={overview:Ht,heatmap:ee,layer:se,alerts:Zt,compare:Jt};function ne(t){let e=document.activeElement?.id,{from:s,to:n}=t.state;t.bar.replaceChildren(t.heading,c("nav",{"aria-lab\
el":"views"},kr(t)),Nr(t),Mr(t),c("button",{id:"latest",class:"quiet",title:"follow the latest step (End)",disabled:t.state.
step==="",onclick:()=>t.set({step:""})},"latest"),s===""&&n===""?"":c("button",{id:"unzoom",class:"quiet",title:"all ste\
ps (Esc)",onclick:()=>t.set({from:"",to:""})},`steps ${s}–${n}  ✕`),c("span",{class:"grow"}),t.live?_r(t):"",c("butt\
on",{id:"keys",class:"quiet","aria-label":"help",title:"help (?)",onclick:()=>t.help.showModal()},"?")),e&&document.getElementById(
e)?.focus({preventScroll:!0})}function kr(t){let e=j.find(s=>t.alerts.some(n=>n.severity===s));return Object.entries(G).
map(([s,n],r)=>c("button",{id:`tab-${s}`,"aria-current":s===t.state.view&&"page",title:`key ${r+1}`,onclick:()=>t.set({view:s})},
n.title,s==="alerts"&&t.alerts.length?c("span",{class:`count ${F(e)}`},t.alerts.length):null))}var Mr=t=>c("label",{class:"\
pick scrub"},"Step",c("input",{id:"scrub",type:"range",min:0,max:t.lastStep,value:t.step,"aria-label":"step",onchange:e=>t.
setStep(Number(e.target.value)),oninput:e=>{e.target.nextElementSibling.textContent=e.target.value}}),c("output",{id:"st\
ep"},t.step)),_r=t=>c("button",{id:"refresh",class:t.newer?"quiet newer":"quiet",title:"ask TensorBoard again","aria-lab\
el":t.newer?null:"refresh",onclick:()=>t.refresh()},t.newer?`↻ ${t.newer}`:"↻");function Nr(t){let{run:e}=t.state,s=Object.
keys(t.runs).sort((r,a)=>r.localeCompare(a,void 0,{numeric:!0})),n=({target:r})=>{let a=r.value.toLowerCase(),i=s.find(l=>l===
r.value)??s.filter(l=>l.toLowerCase().includes(a)),o=typeof i=="string"?i:i.length===1?i[0]:e;r.value=o,t.main.focus({preventScroll:!0}),
o!==e&&t.set({run:o,adapter:"",step:"",from:"",to:"",alert:""})};return c("label",{class:"pick"},"Run",c("input",{id:"ru\
n",type:"search",list:"runs",value:e,placeholder:e,title:`${e} (type to search ${s.length})`,onfocus:({target:r})=>{r.value=
""},onblur:({target:r})=>{r.value||=e},onchange:n}),c("datalist",{id:"runs"},s.map(r=>c("option",{value:r},V(t.runs[r],t.
runs[r])?.word))))}var Rt=class{prefetched;#n;#t=new Map;#s=new WeakMap;#r=0;constructor(e){this.#n=e}forget(){this.#t.clear(),this.#r++}runs(){
return this.#e("runs",{})}runsNow(){return this.#n("runs",[])}schema(e){return this.#e("schema",{run:e})}alerts(e){return this.#e(
"alerts",{run:e})}rules(e){return this.#e("rules",{run:e})}verdict(e,s){return this.#e("verdict",{run:e,step:s})}spectrum(e,s,n){
return this.#e("spectrum",{run:e,adapter:s,step:n})}metric(e,s,n){return this.#e("metric",{run:e,metric:s,...n})}spread(e,s,n){
return this.#e("spread",{run:e,metric:s,...n})}scalars(e,s,n){return this.#e("scalars",{run:e,name:s,...n})}async#e(e,s){
let n=Object.entries(s).filter(([,o])=>o!=null&&o!=="").map(([o,l])=>[o,String(l)]),r=`${e}?${new URLSearchParams(n)}`;if(this.#t.
has(r)){let o=this.#t.get(r);return this.#t.delete(r),this.#t.set(r,o),o}let a=this.#r,i=this.#n(e,n);this.#t.set(r,i);try{
let o=await i;return this.#s.set(i,o.bytes??0),a===this.#r&&this.#o(),o}catch(o){throw this.#t.get(r)===i&&this.#t.delete(
r),o}}#o(){let e=n=>this.#s.get(n)??0,s=0;for(let n of this.#t.values())s+=e(n);for(let[n,r]of this.#t){if(s<=104857600)
break;s-=e(r),this.#t.delete(n)}}};var Sr=[["1 – 5","switch the view",!0],["← →","one step back or on (with Shift: a twentieth of the run)",!1],["↑ ↓",
"adapter before or after",!1],["[ ]","metric before or after",!0],["c","colour of the heatmap",!0],["g","grouping of the\
 heatmap",!0],["Enter","from the heatmap to its adapter",!1],["End","follow the latest step",!1],["drag","zoom into the \
steps of a chart",!1],["Esc","leave the zoom, close this",!1],["?","this help",!0]],Ar=[["ΔW","ΔW"],["output ratio","o\
utput_ratio"],["depth-scaled output ratio","depth-scaled output ratio"],["p90","p90"],["blocks","blocks"],["‖ΔW‖","\
delta_norm"],["s","scale"],["s · lr","effective_lr"],["gain","gain"],["zone","zone"],["effective rank","effective_rank"],
["alert","alerts"]],rs="lora_watch.single_keys";function re(){try{return localStorage.getItem(rs)!=="off"}catch{return!0}}
function Or(t){try{localStorage.setItem(rs,t?"on":"off")}catch{}}function os(){let t=s=>c("dl",null,s.map(([n,r])=>[c("d\
t",null,n),c("dd",null,r)])),e=c("dialog",{id:"help","aria-labelledby":"help-title"},c("header",null,c("h2",{id:"help-ti\
tle"},"What it shows"),c("button",{id:"close",class:"quiet","aria-label":"close",onclick:()=>e.close()},"✕")),t(Ar.map(
([s,n])=>[s,mt(n)])),c("h2",null,"Keys"),c("label",{class:"switch"},c("input",{id:"single-keys",type:"checkbox",checked:re(),
onchange:({target:s})=>Or(s.checked)})," keys of one letter or digit act (those with a dot)"),t(Sr.map(([s,n,r])=>[s,r?`${n}\
 ·`:n])));return e.addEventListener("click",s=>s.target===e&&e.close()),e}var oe="lora_watch",ft=`p.${oe}.`,ae=!1;function as(){ae=!0}function ie(){if(ae)return window;try{return window.parent.location.
hash,window.parent}catch{return window}}function is(t){let{port1:e,port2:s}=new MessageChannel;e.onmessage=({data:n})=>{
let r=JSON.parse(n);r.isReply||(r.type==="experimental.DataReloaded"&&t(),e.postMessage(JSON.stringify({type:r.type,id:r.
id,payload:null,error:null,isReply:!0})))},window.parent.postMessage("experimental.bootstrap","*",[s])}function ls(t){let e=()=>{
let s=matchMedia("(prefers-color-scheme: dark)");s.addEventListener("change",()=>t(s.matches)),t(s.matches)};if(ae)return e();
try{let s=window.parent.document.body,n=()=>t(s.classList.contains("dark-mode"));new MutationObserver(n).observe(s,{attributes:!0,
attributeFilter:["class"]}),n()}catch{e()}}var Ct=()=>ie().location.hash.replace(/^#/,"").split("&"),cs=()=>["",oe].includes(
Ct()[0]);function le(){let t={};for(let e of Ct()){if(!e.startsWith(ft))continue;let[s,n=""]=e.slice(ft.length).split("=");
try{t[s]=decodeURIComponent(n.replaceAll("+"," "))}catch{}}return t}function hs(t,e){if(!cs())return;let s=Ct().filter((a,i)=>i>
0&&a&&!a.startsWith(ft)),n=Object.entries(t).filter(([,a])=>a!==""&&a!=null).map(([a,i])=>`${ft}${a}=${encodeURIComponent(
i)}`),{history:r}=ie();try{r[e?"pushState":"replaceState"](r.state,"",`#${[oe,...n,...s].join("&")}`)}catch{}}function ds(t){
let e=ie(),s=()=>{cs()&&Ct().some(n=>n.startsWith(ft))&&t(le())};e.addEventListener("hashchange",s),window.addEventListener(
"pagehide",()=>e.removeEventListener("hashchange",s))}function fs(t,e){if(e.ctrlKey||e.metaKey||e.altKey||!t.shown||t.help.open||e.target.matches?.("input[type=search], selec\
t, input[type=text]")||e.key.length===1&&!re()||e.target.id==="scrub"&&e.key.startsWith("Arrow"))return;let s=(i,o,l)=>i[(i.
indexOf(o)+l+i.length)%i.length],n=e.shiftKey?Math.max(1,Math.round(t.lastStep/20)):1,r=t.adapters.map(i=>i.name),a={ArrowLeft:()=>t.
setStep(t.step-n),ArrowRight:()=>t.setStep(t.step+n),ArrowUp:()=>t.set({adapter:s(r,t.adapter?.name,-1)}),ArrowDown:()=>t.
set({adapter:s(r,t.adapter?.name,1)}),"[":()=>t.set({metric:s(t.run.metrics,t.state.metric,-1)}),"]":()=>t.set({metric:s(
t.run.metrics,t.state.metric,1)}),c:()=>t.set({colour:s(Object.keys(Lt),t.state.colour,1)}),g:()=>t.set({rows:s(Object.keys(
Ft),t.state.rows,1)}),End:()=>t.set({step:""}),Escape:()=>t.set({from:"",to:""}),"?":()=>t.help.showModal()}[e.key]??(e.
key in{1:0,2:0,3:0,4:0,5:0}?()=>t.set({view:Object.keys(G)[e.key-1]}):null);!a||["ArrowUp","ArrowDown"].includes(e.key)&&
["alerts","overview","compare"].includes(t.state.view)||(e.preventDefault(),a())}var ce={view:"overview",run:"",metric:"",colour:"absolute",rows:"type",adapter:"",step:"",from:"",to:"",level:"",find:"",
sort:"",alert:"",runs:"",among:""},Er=["output_ratio","relative_spectral_norm","relative_norm","delta_norm"],Wr=5e3;function Ir(t,e,s){
let n=Object.keys(e).filter(o=>!(o in t)),r=n.length?`${n.length} new run${n.length>1?"s":""}`:null;if(n.includes(s)||r&&
!Object.keys(t).length)return{words:r,isHere:!0};let[a,i]=[t[s],e[s]];return a&&i&&i.step!==a.step?{words:`now at step ${i.
step}`,isHere:!0}:a&&i&&i.wall_time!==a.wall_time?{words:"more was written",isHere:!0}:r?{words:r,isHere:!1}:null}var Tt=class{constructor(e,s,n=!0){
this.data=new Rt(s),this.live=n,this.state={...ce},this.bar=c("header",{id:"bar"}),this.main=c("main",{id:"view",tabindex:-1}),
this.help=os(),this.said=c("div",{id:"said",class:"unseen","aria-live":"polite"}),this.heading=c("h1",{class:"unseen"}),
this.bar.tabIndex=-1,e.append(this.bar,this.main,this.help,this.said),this.bar.focus({preventScroll:!0}),document.documentElement.
lang="en",this.drawing=0,this.runs={},this.run={metrics:[],series:[],step:0,wall_time:0},this.schema={adapters:[],notes:[]},
this.ending={verdict:null,message:null,first:null},this.alerts=[],this.adapters=[],this.notes=[]}async start(){ls(n=>{this.
dark=n,document.documentElement.classList.toggle("dark",n),this.shown&&this.draw()}),this.#s(le()),ds(n=>{this.wanted=null,
this.#s(n),this.draw()}),this.live&&is(()=>this.refresh()),addEventListener("keydown",n=>fs(this,n));let e=innerWidth,s;
addEventListener("resize",()=>{clearTimeout(s),s=setTimeout(()=>{!innerWidth||innerWidth===e||(e=innerWidth,this.draw())},
80)}),addEventListener("pointerdown",()=>{this.pressed=!0}),addEventListener("pointerup",()=>{this.pressed=!1}),this.live&&
setInterval(()=>this.#n(),Wr),await this.refresh()}async refresh(){this.data.forget(),await this.draw()}async#n(){if(document.
hidden||!innerWidth||!this.shown||this.loading)return;let{run:e}=this.state,s=await this.data.runsNow().catch(()=>this.runs);
if(e!==this.state.run)return;let n=Ir(this.runs,s,this.wanted?.run??e),r=this.pressed||this.help.open||document.activeElement?.
matches("input[type=search]");if(n?.isHere&&this.#t&&!r)return this.refresh();!r&&V(this.ending,this.run)?.word!==this.endWord&&
await this.draw(),n?.words!==this.newer&&(this.newer=n?.words,ne(this))}get#t(){let{step:e,to:s}=this.state;return s===""&&
(e===""||Number(e)>this.lastStep)}set(e){let{view:s,run:n}=this.state;return this.wanted=null,this.#s({...this.state,...e}),
this.navigated||=this.state.view!==s||this.state.run!==n,this.draw()}#s(e){this.state=Object.fromEntries(Object.entries(
ce).map(([s,n])=>[s,String(e[s]??n)])),this.state.view in G||(this.state.view="overview")}async draw(){let e=++this.drawing,
{view:s,run:n}=this.state;this.loading=!0,document.body.setAttribute("aria-busy","true");let r=setTimeout(()=>{e===this.
drawing&&this.shown&&(this.shown!==s||this.shownRun!==n)&&this.#c(s)},150);try{if(this.runs=await this.data.runs(),!Object.
keys(this.runs).length)return this.#a(e,c("p",{class:"empty-page"},"No run here holds LoRA data yet. Add LoraWatchCallba\
ck() to the Trainer."));this.#r();let a=await this.#e();if(e!==this.drawing)return;await this.#o(a),ne(this),this.#l();let i=await G[this.
state.view].draw(this);this.#a(e,i)}catch(a){this.#a(e,c("div",{class:"empty-page",role:"alert"},c("p",null,`This view c\
ould not be drawn: ${a.message}`),c("button",{id:"again",class:"quiet",onclick:()=>this.refresh()},"Try again")))}finally{
clearTimeout(r)}}#r(){if(this.wanted&&this.wanted.run in this.runs&&([this.state,this.wanted]=[this.wanted,null]),this.state.
run in this.runs)return;this.state.run&&(this.wanted??=this.state);let e=({verdict:n,wall_time:r})=>[this.live?0:Vt(n),r],
s=(n,r)=>e(n)[0]-e(r)[0]||e(n)[1]-e(r)[1];this.#s({...this.wanted?{view:this.state.view}:this.state,run:Object.keys(this.
runs).reduce((n,r)=>s(this.runs[r],this.runs[n])>0?r:n)})}async#e(){let e=this.state.run,[s,n,r]=await Promise.all([this.
data.schema(e),this.data.alerts(e),this.data.verdict(e)]);return{schema:s,found:n,ending:r}}async#o({schema:e,found:s,ending:n}){
this.schema=e,this.ending=n,this.alerts=s.alerts,this.notes=[...e.notes,...s.notes],this.run=this.runs[this.state.run],this.
adapters=await this.#h(e),this.missing=this.#i();let r=this.run.metrics;r.includes(this.state.metric)||(this.state.metric=
Er.find(a=>r.includes(a))??r[0]??""),this.endWord=V(n,this.run)?.word,this.newer=void 0}#i(){let{adapter:e}=this.state;return this.
wanted?`There is no run “${this.wanted.run}” here, or TensorBoard has not read it yet. This is the latest one.`:e&&!this.
adapters.some(({name:s})=>s===e)?`This run has no adapter “${e}”.`:this.adapters.length?null:"This run has no adapte\
rs: nothing but its loss and rates is known."}#l(){this.wanted||hs(Object.fromEntries(Object.entries(this.state).filter(
([e,s])=>s!==ce[e])),this.navigated),this.navigated=!1}#c(e){let s=e==="compare"?` and ${Object.keys(this.runs??{}).length}\
 runs`:"";this.main.replaceChildren(c("div",{class:"empty-page",role:"status",id:"loading"},`Reading ${G[e].title.toLowerCase()}${s}\
 …`,c("progress")))}#a(e,s){if(e!==this.drawing)return;let n=document.activeElement?.id,r=this.main.scrollTop;E.hide();
let a=Bt("notes",[this.missing??[]].flat());pe(this.main,c("main",null,a,s,Bt("notes",this.notes??[]))),n&&document.activeElement?.
id!==n&&document.getElementById(n)?.focus({preventScroll:!0}),document.activeElement===document.body&&this.main.focus({preventScroll:!0}),
this.main.scrollTop=this.shown===this.state.view?r:0,this.heading.textContent=document.title=`LoRA: ${G[this.state.view].
title}, ${this.state.run}`,this.shown=this.state.view,this.shownRun=this.state.run,this.loading=!1,document.body.removeAttribute(
"aria-busy"),document.body.dataset.ready=this.state.view,document.dispatchEvent(new CustomEvent("lora-watch-drawn"))}async#h(e){
let s=e.adapters;if(!s.length&&this.run.metrics.length){let{n:r}=await this.data.metric(this.state.run,this.run.metrics[0],
{max_cols:1});s=Array.from({length:r},(a,i)=>({name:`adapter ${i}`}))}let n=Object.keys(e.config?.lora??{}).filter(r=>r!==
"default");return qe(s,n)}get lastStep(){return this.run.step}get step(){let e=Number(this.state.step);return this.state.
step===""||!(e>=0&&e<this.lastStep)?this.lastStep:this.run.held?.findLast(s=>s<=e)??Math.floor(e)}get adapter(){return this.
adapters.find(e=>e.name===this.state.adapter)??this.#d??this.adapters[0]}get#d(){let e=this.alerts[this.ending.first??-1]?.
adapters?.[0]?.name;return this.adapters.find(s=>s.name===e)}get width(){let{paddingLeft:e,paddingRight:s}=getComputedStyle(
this.main);return Math.max(280,this.main.clientWidth-parseFloat(e)-parseFloat(s))}say(e){this.said.textContent=e}metric(e,s){
return this.data.metric(this.state.run,e,s)}async spread(e,s,n=this.state.run){return this.runs[n].metrics.includes(e)?this.
data.spread(n,e,s):null}async series(e,s,n=this.state.run){return this.runs[n].series.includes(e)?this.data.scalars(n,e,
s):null}async seriesOf(e,s,n=this.state.run){let r=await Promise.all(e.map(a=>this.series(a,s,n)));return Object.fromEntries(
e.map((a,i)=>[a,r[i]]))}window(e){return{max_cols:e,from:this.state.from,to:this.state.to}}range(e=this.lastStep){let{from:s,
to:n}=this.state;return[s===""?0:Number(s),n===""?Math.max(1,e):Number(n)]}zoom=(e,s)=>this.set({from:e,to:s});setStep=e=>{
let s=e>this.step&&this.run.held?.find(n=>n>=e)||e;return this.set({step:s>=this.lastStep?"":Math.max(0,s)})};openAlert=(e,s=this.
state.view)=>this.set({view:s,step:e.step,alert:`${e.rule}@${e.step}`,adapter:e.adapters?.[0]?.name??this.state.adapter,
metric:this.run.metrics.includes(e.metric)?e.metric:this.state.metric,from:"",to:""})};var ms=128;async function ps(t){let e=Uint8Array.from(atob(t.trim()),h=>h.charCodeAt(0)),s=new Blob([e]).stream().pipeThrough(
new DecompressionStream("deflate")),n=await new Response(s).arrayBuffer(),r=new DataView(n).getUint32(0,!0),{answers:a,matrices:i}=JSON.
parse(new TextDecoder().decode(new Uint8Array(n,4,r))),o=new Map,l=h=>(o.has(h)||o.set(h,Rr(new Uint8Array(n,4+r+i[h].at),
i[h])),o.get(h));return async(h,d)=>{let{run:u="",metric:f,name:m,at:p,...g}=Object.fromEntries(d),w=Object.fromEntries(
Object.entries(g).map(([_,O])=>[_,Number(O)])),y=JSON.stringify([h,u,f??m??""]),x=JSON.stringify([`${h} at`,u,f??m??""]);
if(p&&x in i)return l(x);if(y in i)return l(y).window(w);if(!(y in a))throw new Error(`The report does not hold ${f??m??
h}.`);return h==="verdict"?Lr(a[y],w.step??1/0):h==="spectrum"?Fr(a[y],w.adapter,w.step??1/0):a[y]}}var Lr=({first:t,...e},s)=>({
...e,first:t.findLast(([n])=>n<=s)?.[1]??null});function Fr(t,e,s){let n=t.map(([l,h])=>[l,h[e]]).filter(([l,h])=>l<=s&&
h?.length),[r,a]=n.at(-1)??[null,null],[i,o]=n.find(([,l])=>l.some(Boolean))??[null,null];return{step:r,sigma:a,first_step:i,
first_sigma:o}}function Rr(t,e){let[s,n]=e.shape,r=s*n,a=e.pooled?2:1,i=Array.from({length:a},()=>new Float32Array(r)),o=new Uint8Array(
r),l=new Int32Array(1),h=new Float32Array(l.buffer),d=(u,f)=>t[(4*u+3)*r+f]<<24|t[(4*u+2)*r+f]<<16|t[(4*u+1)*r+f]<<8|t[4*
u*r+f];for(let u=0;u<n;u++){let f=0;for(let m=0;m<s;m++){let p=u*s+m,g=m*n+u,w=t[4*a*r+p];f=f+d(0,p)|0,o[g]=w&~ms;for(let y=0;y<
a;y++)l[0]=(y?f+d(1,p):f)<<e.shift,i[y][g]=w&ms?w&2&&!(w&1)?1/0:Number.NaN:h[0]}}return new wt(e,i[0],i[a-1],o)}as();var Cr=document.getElementById("answers");ps(Cr?.textContent??"").then(t=>new Tt(document.body,t,!1).start());
