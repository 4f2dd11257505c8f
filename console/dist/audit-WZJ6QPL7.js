import{g as d}from"./chunk-RLH3V6A7.js";function i(){return d("div",{class:"page",children:d("h1",{children:"Audit"})})}export{i as AuditPage};
